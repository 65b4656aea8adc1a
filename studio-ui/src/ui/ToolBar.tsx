import { removeStrokes, spreading, strokesOn } from "../colorwork.ts";
import { cancel } from "../commands.ts";
import { colorLabel } from "../core/color.ts";
import { templates } from "../core/skeletons.ts";
import { trackLabel } from "../core/state.ts";
import { toolsOf } from "../core/tools.ts";
import { firstStep, SAID, secondStep } from "../core/words.ts";
import { viewer } from "../stage.ts";
import * as store from "../store.ts";
import { resizeBrush, SIZES } from "../tools/brush.ts";
import { toolHint, toolInHand } from "../tools/index.ts";
import { correctable, startsOver } from "../tools/over.ts";
import {
  clickSays,
  looped,
  pending,
  selectFor,
  selectHint,
  selecting,
  selectSize,
  startOver,
} from "../tools/select.ts";
import { changed, takeTool } from "../tools/take.ts";
import { say } from "../words.ts";
import { ColorChoice } from "./Color.tsx";
import { Icon, type IconName } from "./icons.tsx";
import { IconButton } from "./parts.tsx";

const ICONS: Partial<Record<string, IconName>> = { color: "brush", picture: "film" };

export function ToolBar() {
  return (
    <nav class="toolbar" aria-label="Tools">
      {toolsOf(store.mode.value, Boolean(store.project.value?.textures?.length)).map(
        ({ name, label, short, key }) => (
          <button
            key={name}
            type="button"
            class={changed.value === name ? "tool changed" : "tool"}
            aria-label={label}
            title={`${label} (${key.toUpperCase()})`}
            aria-pressed={toolInHand() === name}
            onClick={() => takeTool(name)}
          >
            <Icon name={ICONS[name] ?? (name as IconName)} size={22} />
            <span aria-hidden="true">{short ?? label}</span>
          </button>
        ),
      )}
    </nav>
  );
}

function BrushSize() {
  return (
    <div class="option brush-size">
      <span aria-hidden="true">Size</span>
      <IconButton
        icon="less"
        label="Smaller brush"
        keys="["
        size={16}
        onClick={() => resizeBrush(1 / 1.2)}
      />
      <input
        type="range"
        min={0}
        max={100}
        value={(100 * Math.log(store.brushSize.value)) / Math.log(SIZES[1])}
        aria-label="Brush size"
        aria-valuetext={`${store.brushSize.value} pixels`}
        onInput={(event) => {
          const share = Number(event.currentTarget.value) / 100;
          store.brushSize.value = Math.max(1, Math.round(SIZES[1] ** share));
        }}
      />
      <IconButton
        icon="add"
        label="Larger brush"
        keys="]"
        size={16}
        onClick={() => resizeBrush(1.2)}
      />
      <output>{store.brushSize.value} px</output>
    </div>
  );
}

function RemoveStrokes() {
  const frame = store.frame.value;
  return (
    <button
      type="button"
      class="button small"
      disabled={!strokesOn(frame)}
      onClick={() => removeStrokes(frame)}
      title="Remove strokes of this frame (Delete)"
    >
      Remove strokes
    </button>
  );
}

function SkeletonChoice() {
  const fixed = store.project.value?.objects.find((item) => item.kind === "keypoints");
  const all = templates();
  return (
    <div class="option">
      <select
        class="select"
        aria-label="Skeleton"
        value={store.template.value in all ? store.template.value : "person"}
        disabled={Boolean(fixed)}
        title={fixed ? `A project has one kind of skeleton: that of ${fixed.name}` : "Skeleton"}
        onChange={(event) => {
          store.template.value = event.currentTarget.value;
        }}
      >
        {Object.entries(all).map(([name, { title }]) => (
          <option key={name} value={name}>
            {title}
          </option>
        ))}
      </select>
      <button
        type="button"
        class="button small"
        disabled={Boolean(fixed)}
        onClick={() => {
          store.dialog.value = "skeleton";
        }}
      >
        Edit
      </button>
    </div>
  );
}

const CLICKS = [
  ["inside", "Add", SAID.add],
  ["outside", "Take away", SAID.away],
] as const;

function SelectFor() {
  const objects = store.project.value!.objects.filter(
    (item) => item.kind === "object" && !item.locked,
  );
  if (!objects.length) return null;
  return (
    <select
      class="select"
      aria-label="For"
      title="Which object this is"
      value={selectFor.value}
      onChange={(event) => {
        selectFor.value = event.currentTarget.value;
      }}
    >
      {objects.map((item) => (
        <option key={item.key} value={item.key}>
          {item.name}
        </option>
      ))}
      <option value="new">new object</option>
    </select>
  );
}

/** Leaves out what the picked object has on the frame, or brings it back. */
function StartOver() {
  if (startsOver.value) {
    return (
      <button type="button" class="button small" title="Cancel (Esc)" onClick={cancel}>
        Cancel
      </button>
    );
  }
  const selects = toolInHand() === "select";
  const title = selects ? say(SAID.over) : "Leave out what the object has on this frame";
  return (
    <button type="button" class="button small" title={title} onClick={startOver}>
      Start over
    </button>
  );
}

function SelectChoice() {
  const begun = pending.value || selecting.value;
  if (!begun && !correctable.value) return null;
  const mine = correctable.value?.key === selectFor.value;
  const adds = begun || startsOver.value;
  return (
    <div class="option">
      {begun && <SelectFor />}
      {(!begun || (mine && !startsOver.value)) && <StartOver />}
      {begun && <SelectEnd />}
      <fieldset class="segments small" aria-label="A click">
        {CLICKS.map(([says, text, title]) => (
          <button
            key={says}
            type="button"
            title={say(title)}
            aria-pressed={
              clickSays.value === says || (adds && !clickSays.value && says === "inside")
            }
            onClick={() => {
              clickSays.value = !begun && clickSays.value === says ? null : says;
            }}
          >
            {text}
          </button>
        ))}
      </fieldset>
    </div>
  );
}

/** How large the region grows, and whether it is taken. */
function SelectEnd() {
  return (
    <>
      {!looped.value && (
        <label class="option size">
          <span class="word">Size</span>
          <input
            type="range"
            min={0}
            max={1}
            step={0.05}
            value={selectSize.value ?? 0.5}
            aria-label="Size of the region"
            onChange={(event) => {
              selectSize.value = Number(event.currentTarget.value);
            }}
          />
        </label>
      )}
      <button type="button" class="button small" onClick={cancel} title="Cancel (Esc)">
        Cancel
      </button>
      <button
        type="button"
        class="button small primary"
        onClick={() => viewer.value?.tool.accept?.()}
        title="Accept (Enter)"
      >
        Accept
      </button>
    </>
  );
}

/** One line over the canvas: what the tool in hand does, and its options. */
export function ToolLine() {
  const pointer = store.viewMode.value === "pointer" && store.mode.value === "track";
  const tool = toolInHand();
  const spreads = store.mode.value === "color" && spreading.value;
  const line = pointer
    ? say(SAID.pointer)
    : tool === "select" && selecting.value
      ? "Looking for the object ..."
      : spreads
        ? "Spreading the colours ..."
        : store.toolLine.value || (tool === "select" ? selectHint() : toolHint());
  return (
    <div class="tool-line">
      <span
        class={selecting.value || spreads ? "tool-hint busy" : "tool-hint"}
        role="status"
        title={line}
        aria-busy={selecting.value || spreads}
      >
        {line}
      </span>
      <div class="tool-options">
        {!pointer && tool === "color" && <ColorChoice />}
        {!pointer && ["brush", "eraser", "color"].includes(tool) && <BrushSize />}
        {!pointer && ["brush", "polygon"].includes(tool) && correctable.value && (
          <div class="option">
            <StartOver />
          </div>
        )}
        {tool === "eraser" && store.mode.value === "color" && <RemoveStrokes />}
        {!pointer && tool === "skeleton" && <SkeletonChoice />}
        {!pointer && tool === "select" && <SelectChoice />}
      </div>
      <div class="option zoom">
        <span class="divider" aria-hidden="true" />
        <IconButton
          icon="less"
          label="Zoom out"
          keys="-"
          size={16}
          onClick={() => viewer.value?.zoom(0.8)}
        />
        <button
          type="button"
          class="button small"
          title="Fit the picture (0)"
          onClick={() => viewer.value?.fit()}
        >
          Fit
        </button>
        <IconButton
          icon="add"
          label="Zoom in"
          keys="+"
          size={16}
          onClick={() => viewer.value?.zoom(1.25)}
        />
      </div>
    </div>
  );
}

export function Hints() {
  const project = store.project.value;
  if (store.hintsSeen.value === "yes" || !project) return null;
  const coloring = store.mode.value === "color";
  const marked = coloring
    ? Object.keys(project.color?.references ?? {}).length > 0
    : Object.keys(project.marks).length > 0;
  const isHeld = project.result?.next === "held";
  const isToDo = coloring ? colorLabel(project).ready : trackLabel(project).ready && !isHeld;
  const tracked = marked && !isToDo && Boolean(coloring ? project.color?.result : project.result);
  const second = secondStep(store.mode.value, store.job.value?.kind ?? null);
  const colorSteps: [string, boolean][] = [
    [say(SAID.colorStep), marked],
    [second, tracked],
    ["Watch, colour another frame, export", false],
  ];
  const trackSteps: [string, boolean][] = [
    [say(firstStep(store.tool.value)), marked],
    [second, tracked],
    ["Watch, fix a frame, track again, export", false],
  ];
  const steps = coloring ? colorSteps : trackSteps;
  const now = steps.findIndex(([, done]) => !done);
  return (
    <aside class="hints" aria-label="First steps">
      <ol>
        {steps.map(([text, done], n) => (
          <li key={text} class={done ? "done" : n === now ? "now" : ""}>
            <span class="step" aria-hidden="true">
              {done ? <Icon name="done" size={14} /> : n + 1}
            </span>
            {text}
          </li>
        ))}
      </ol>
      <IconButton
        icon="close"
        label="Hide these steps"
        size={16}
        onClick={() => {
          store.hintsSeen.value = "yes";
        }}
      />
    </aside>
  );
}
