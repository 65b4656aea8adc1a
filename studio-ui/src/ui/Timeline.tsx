import { useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import {
  clearLoop,
  loopEdge,
  onlyLoop,
  step,
  toDoubtful,
  toMark,
  trackOnlyLoop,
  worthALook,
} from "../commands.ts";
import { asTimeline, referenceFrames } from "../core/color.ts";
import { copyLine } from "../core/scrub.ts";
import { markedFrames } from "../core/state.ts";
import { clock, frameAtX, xOfFrame } from "../core/timeline.ts";
import { speed, togglePlay } from "../player.ts";
import * as store from "../store.ts";
import { IconButton } from "./parts.tsx";
import { colorsOf, drawMain, drawStrips, STRIP } from "./timelinedraw.ts";

function Transport() {
  const video = store.project.value!.video;
  const now = store.frame.value;
  const { stops, doubtful } = worthALook.value;
  const project = store.project.value!;
  const coloring = store.mode.value === "color";
  const marked = coloring ? referenceFrames(project) : markedFrames(project);
  const isDone = Boolean(coloring ? project.color?.result : project.result);
  const toLook = doubtful
    ? "Next doubtful stretch (N)"
    : "Nothing is doubtful: what is least sure (N)";
  const undone = coloring ? "Colour first" : "Track first";
  const playing = store.playing.value;
  const range = store.project.value!.settings.range;
  return (
    <div class="transport">
      <IconButton icon="first" label="First frame" keys="Home" onClick={() => step(-1e9)} />
      <IconButton icon="back" label="One frame back" keys="," onClick={() => step(-1)} />
      <IconButton
        icon={playing ? "pause" : "play"}
        label={playing ? "Pause" : "Play"}
        keys="Space"
        class="play"
        onClick={togglePlay}
      />
      <IconButton icon="on" label="One frame on" keys="." onClick={() => step(1)} />
      <IconButton icon="last" label="Last frame" keys="End" onClick={() => step(1e9)} />
      <label class="frame-field">
        <span class="sr-only">Frame</span>
        <input
          type="number"
          min={0}
          max={video.frames - 1}
          value={now}
          aria-label="Frame"
          onChange={(event) => {
            store.goTo(Number(event.currentTarget.value));
            event.currentTarget.value = String(store.frame.peek()); // the last one for one beyond
          }}
          onKeyDown={(event) => {
            if (event.key === "Enter") event.currentTarget.blur();
          }}
        />
        <span class="muted">of 0–{video.frames - 1}</span>
      </label>
      <span class="time">
        {clock(video.times[now] ?? 0)} <span class="muted">/ {clock(video.times.at(-1) ?? 0)}</span>
      </span>
      <span class="spacer" />
      <button
        type="button"
        class="button small"
        title="Mark before (Shift+M)"
        disabled={!marked.some((frame) => frame < now)}
        onClick={() => toMark(false)}
      >
        ‹ Mark
      </button>
      <button
        type="button"
        class="button small"
        title="Next mark (M)"
        disabled={!marked.some((frame) => frame > now)}
        onClick={() => toMark(true)}
      >
        Mark ›
      </button>
      <button
        type="button"
        class="button small doubtful"
        title={stops.length ? toLook : isDone ? "Nothing is doubtful" : undone}
        disabled={!stops.length}
        onClick={() => toDoubtful(true)}
      >
        {doubtful || !stops.length ? "Next doubtful" : "Least sure"}
        {stops.length ? ` (${stops.length})` : ""}
      </button>
      <span class="divider" />
      <button
        type="button"
        class="button small"
        title="Loop starts here (I)"
        onClick={() => loopEdge(0)}
      >
        Loop from here
      </button>
      <button
        type="button"
        class="button small"
        title="Loop ends here (U)"
        onClick={() => loopEdge(1)}
      >
        to here
      </button>
      <IconButton
        icon="loop"
        label="Loop"
        keys="L"
        pressed={store.looping.value}
        onClick={() => {
          store.looping.value = !store.looping.value;
        }}
      />
      <button
        type="button"
        class="button small"
        aria-pressed={Boolean(range)}
        disabled={!store.loop.value && !range}
        title={`${coloring ? "Colour" : "Track"} the looped part only`}
        onClick={() => trackOnlyLoop(!range || (store.loop.value !== null && !onlyLoop()))}
      >
        Only this part
      </button>
      <IconButton
        icon="close"
        label="Loop over the whole clip"
        size={16}
        disabled={!store.loop.value}
        onClick={clearLoop}
      />
      <select
        class="select small"
        aria-label="Speed"
        value={String(speed.value)}
        onChange={(event) => {
          speed.value = Number(event.currentTarget.value);
        }}
      >
        {[0.25, 0.5, 1, 2].map((value) => (
          <option key={value} value={String(value)}>
            {value} ×
          </option>
        ))}
      </select>
    </div>
  );
}

/** How far the small copy of the film is, while it is made. */
function Copying() {
  const text = copyLine(store.smallCopy.value, store.project.value!.video.frames);
  return text ? <span class="copying">{text}</span> : null;
}

export function Timeline() {
  const root = useRef<HTMLElement>(null);
  const main = useRef<HTMLCanvasElement>(null);
  const strips = useRef<HTMLCanvasElement>(null);
  const draw = useRef(() => {});

  useSignalEffect(() => {
    const project = store.project.value;
    if (!project) return;
    const frame = store.frame.value;
    const loop = store.loop.value;
    const looping = store.looping.value;
    store.theme.value;
    const job = store.job.value?.kind === "export" ? -1 : (store.job.value?.frame ?? -1);
    const coloring = store.mode.value === "color";
    const marked = coloring ? referenceFrames(project) : markedFrames(project);
    draw.current = () => {
      if (!root.current || !main.current || !strips.current) return;
      const colors = colorsOf(root.current);
      const shown = coloring ? asTimeline(project) : project;
      drawMain(main.current, shown, { frame, marked, loop, looping, job }, colors);
      drawStrips(strips.current, shown, { frame, job }, colors);
    };
    // With the picture and the number: a frame of the screen later it would be behind them.
    let wanted = true;
    queueMicrotask(() => wanted && draw.current());
    return () => {
      wanted = false;
    };
  });

  useEffect(() => {
    const again = () => draw.current();
    const observer = new ResizeObserver(again);
    observer.observe(main.current!);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", again);
    return () => {
      observer.disconnect();
      dark.removeEventListener("change", again);
    };
  }, []);

  const picked = store.picked.value;
  useEffect(() => {
    if (picked)
      root.current?.querySelector(".strip-label.picked")?.scrollIntoView({ block: "nearest" });
  }, [picked]);

  const given = store.project.value!;
  const coloring = store.mode.value === "color";
  const project = coloring ? asTimeline(given) : given;
  const marked = coloring ? referenceFrames(given) : markedFrames(given);
  const frames = project.video.frames;

  const drag = useRef<null | { looping: number | null; part: boolean }>(null);
  const frameOf = (event: PointerEvent) => {
    const box = main.current!.getBoundingClientRect();
    const x = event.clientX - box.left;
    const at = frameAtX(x, box.width, frames);
    if (event.type !== "pointerdown") return at;
    // A diamond catches what is near it.
    const near = marked.find((one) => Math.abs(xOfFrame(one, box.width, frames) - x) < 6);
    return near ?? at;
  };
  const onDown = (event: PointerEvent) => {
    if (event.button !== 0) return;
    (event.currentTarget as HTMLElement).setPointerCapture(event.pointerId);
    const at = frameOf(event);
    drag.current = { looping: event.shiftKey ? at : null, part: onlyLoop() };
    store.playing.value = false;
    store.scrubbing.value = !event.shiftKey;
    if (!event.shiftKey) store.goTo(at);
  };
  const onMove = (event: PointerEvent) => {
    const now = drag.current;
    if (!now) return;
    const at = frameOf(event);
    if (now.looping === null) store.goTo(at);
    else if (at !== now.looping) {
      store.loop.value = [Math.min(at, now.looping), Math.max(at, now.looping) + 1];
      store.looping.value = true;
    }
  };
  const onUp = () => {
    if (drag.current?.part && !onlyLoop()) trackOnlyLoop(true);
    drag.current = null;
    store.scrubbing.value = false;
  };
  const events = {
    onPointerDown: onDown,
    onPointerMove: onMove,
    onPointerUp: onUp,
    onPointerCancel: onUp,
  };

  return (
    <section class="timeline" aria-label="Timeline" ref={root}>
      <Transport />
      <div class="lanes">
        <div class="lane-label">
          <Copying />
          Marks
        </div>
        <div
          class="lane"
          role="slider"
          tabIndex={0}
          aria-label="Frame"
          aria-valuemin={0}
          aria-valuemax={frames - 1}
          aria-valuenow={store.frame.value}
          aria-valuetext={`Frame ${store.frame.value} of 0 to ${frames - 1}`}
          title="Drag to go to a frame. Shift-drag to set the loop"
          {...events}
        >
          <canvas ref={main} class="main-lane" />
        </div>
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a list that scrolls must take the focus */}
      <section class="strips" tabIndex={0} aria-label="How sure each track is">
        {!project.objects.length && (
          <p class="strips-empty">Objects get a line here: high where the track is sure.</p>
        )}
        <div class="strip-labels">
          {project.objects.map((item) => (
            <button
              type="button"
              key={item.key}
              class={item.key === store.picked.value ? "strip-label picked" : "strip-label"}
              onClick={() => {
                store.picked.value = item.key;
              }}
            >
              <span class="dot" style={{ background: item.color }} />
              <span class="text">{item.name}</span>
            </button>
          ))}
        </div>
        <div class="lane" {...events}>
          <canvas
            ref={strips}
            class="strip-lane"
            style={{ height: `${project.objects.length * STRIP}px` }}
          />
        </div>
      </section>
    </section>
  );
}
