// The panels of colour mode: what to paint with, which frames are coloured, how it is looked at.

import { useRef } from "preact/hooks";
import { changeColor, clearColors, removeStrokes, strokesOn } from "../colorwork.ts";
import { toSuggested } from "../commands.ts";
import { readableOn, referenceFrames, referenceOn, SWATCHES, usedColors } from "../core/color.ts";
import type { ColorReference } from "../core/state.ts";
import { SAID } from "../core/words.ts";
import { isUnlike, useStill } from "../stills.ts";
import * as store from "../store.ts";
import { say } from "../words.ts";
import { Icon } from "./icons.tsx";
import { IconButton } from "./parts.tsx";

export function ColorChoice() {
  const color = store.paintColor.value;
  return (
    <div class="option">
      <label
        class="swatch large chooser"
        style={{ background: color, color: readableOn(color) }}
        title="Colour in use: choose any"
      >
        <Icon name="palette" size={16} />
        <input
          type="color"
          value={color}
          aria-label="Colour in use: choose any"
          onInput={(event) => {
            store.paintColor.value = event.currentTarget.value;
          }}
        />
      </label>
      <fieldset class="swatches" aria-label="Colours">
        {SWATCHES.map(([name, swatch]) => (
          <button
            key={name}
            type="button"
            class="swatch"
            title={name}
            aria-label={name}
            aria-pressed={color === swatch}
            style={{ background: swatch }}
            onClick={() => {
              store.paintColor.value = swatch;
            }}
          />
        ))}
      </fieldset>
    </div>
  );
}

const LOOKS = [
  ["color", "Coloured"],
  ["saturation", "Saturation"],
  ["confidence", "Confidence"],
] as const;

export function ColorViews() {
  return (
    <label class="named-select">
      <span aria-hidden="true">View</span>
      <select
        class="select"
        aria-label="View"
        value={store.colorLook.value}
        onChange={(event) => {
          store.colorLook.value = event.currentTarget.value as "color";
        }}
      >
        {LOOKS.map(([name, text]) => (
          <option key={name} value={name}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}

const LEGENDS = {
  confidence: ["Unsure", "Sure"],
  saturation: ["No colour", "Strong colours"],
} as const;

/** On the picture: what its colours mean, where they are not the film's. */
export function ColorLegend() {
  const look = store.colorLook.value;
  if (store.mode.value !== "color" || look === "color" || !store.project.value?.color?.result) {
    return null;
  }
  const [least, most] = LEGENDS[look];
  return (
    <p class="legend">
      {least}
      <span class={`legend-bar ${look}`} aria-hidden="true" />
      {most}
    </p>
  );
}

function Still() {
  const field = useRef<HTMLInputElement>(null);
  return (
    <>
      <button
        type="button"
        class="button small"
        title={say(SAID.dropStill)}
        onClick={() => field.current?.click()}
      >
        Use a picture
      </button>
      <input
        ref={field}
        class="sr-only"
        type="file"
        accept="image/png,image/jpeg"
        aria-label="Choose a coloured picture of this frame"
        tabIndex={-1}
        onChange={(event) => {
          void useStill(event.currentTarget.files?.[0]);
          event.currentTarget.value = "";
        }}
      />
    </>
  );
}

/** The colours of the strokes: one is taken in use, and can be changed wherever it is. */
function UsedColors() {
  const used = usedColors(store.project.value!);
  if (!used.length) return null;
  const color = store.paintColor.value;
  const chosen = used.includes(color);
  return (
    <div class="color-here">
      <header>
        <h2>Used colours</h2>
        <label
          class={chosen ? "button small change-color" : "button small change-color off"}
          title={
            chosen
              ? "Every stroke of this colour, on every frame, gets another"
              : "Choose one of the used colours first"
          }
        >
          <span class="swatch" style={{ background: chosen ? color : "transparent" }} />
          Change all
          <input
            type="color"
            value={color}
            disabled={!chosen}
            aria-label="Change this colour on all frames"
            onChange={(event) => {
              const to = event.currentTarget.value;
              changeColor(color, to);
              store.paintColor.value = to;
            }}
          />
        </label>
      </header>
      <fieldset class="swatches used" aria-label="Used colours">
        {used.map((one) => (
          <button
            key={one}
            type="button"
            class="swatch"
            title={one}
            aria-label={`Used colour ${one}`}
            aria-pressed={color === one}
            style={{ background: one }}
            onClick={() => {
              store.paintColor.value = one;
            }}
          />
        ))}
      </fieldset>
    </div>
  );
}

const howGiven = ({ still, copied }: ColorReference) =>
  still ? "picture" : copied ? "corrected" : "painted";

export function ColorPanel() {
  const project = store.project.value!;
  const frames = referenceFrames(project);
  const now = store.frame.value;
  const here = referenceOn(project, now);
  return (
    <section class="panel objects" aria-labelledby="references-title">
      <header>
        <h2 id="references-title">Coloured frames</h2>
        <button
          type="button"
          class="button small"
          title="Goes to the frame that it would help most to colour or to correct"
          onClick={() => void toSuggested()}
        >
          Suggest one
        </button>
      </header>
      {frames.length ? (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a list that scrolls must take the focus
        <ul class="object-list" tabIndex={0} aria-label="Coloured frames">
          {frames.map((frame) => (
            <li key={frame} class={frame === now ? "object picked" : "object"}>
              <button
                type="button"
                class="object-name"
                aria-pressed={frame === now}
                onClick={() => store.goTo(frame)}
              >
                <span class="text">Frame {frame}</span>
                <span class="muted">{howGiven(referenceOn(project, frame)!)}</span>
              </button>
              <IconButton
                icon="close"
                label={`Take the colours of frame ${frame} away`}
                size={14}
                class="quiet"
                onClick={() => clearColors(frame)}
              />
            </li>
          ))}
        </ul>
      ) : (
        <p class="empty fill">{say(SAID.noReferences)}</p>
      )}
      <div class="color-here">
        <h2>Frame {now}</h2>
        {here?.still && isUnlike(now) && (
          <p class="note" role="status">
            The picture does not look like this frame: its colours may land in the wrong places.
          </p>
        )}
        <footer>
          <Still />
          {here?.still && (
            <button
              type="button"
              class="button small"
              disabled={!strokesOn(now)}
              onClick={() => removeStrokes(now)}
              title="Remove strokes of this frame and leave its picture (Delete)"
            >
              Remove strokes
            </button>
          )}
          <button
            type="button"
            class="button small"
            disabled={!here}
            onClick={() => clearColors(now)}
            title="Take all of this frame's colours away"
          >
            <Icon name="close" size={14} /> Clear
          </button>
        </footer>
      </div>
      <UsedColors />
      <div class="color-here">
        <h2>All frames</h2>
        <label class="option wide">
          Saturation
          <input
            type="range"
            min={0}
            max={2}
            step={0.05}
            value={store.saturation.value}
            aria-label="Saturation"
            onChange={(event) => {
              const saturation = Number(event.currentTarget.value);
              void store.act({ type: "settings", saturation });
            }}
          />
          <output>{Math.round(100 * store.saturation.value)} %</output>
        </label>
      </div>
      <div class="color-here">
        <h2>View</h2>
        <label class="option wide" title="Grey on the left of the line, coloured on the right">
          Compare
          <input
            type="range"
            min={0}
            max={100}
            value={Math.round(100 * store.wipe.value)}
            disabled={!here && !project.color?.result}
            aria-label="Wipe: grey on the left, coloured on the right"
            onInput={(event) => {
              store.wipe.value = Number(event.currentTarget.value) / 100;
            }}
          />
          <output>{Math.round(100 * store.wipe.value)} %</output>
        </label>
        <label class="option">
          <input
            type="checkbox"
            checked={store.strokesShown.value}
            onChange={(event) => {
              store.strokesShown.value = event.currentTarget.checked;
            }}
          />
          Show strokes
        </label>
      </div>
    </section>
  );
}
