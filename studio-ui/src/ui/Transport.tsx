// The row over the timeline: play, step, marks, doubtful stretches, the loop.

import {
  clearLoop,
  loopEdge,
  OLD,
  OLD_COLORS,
  onlyLoop,
  step,
  toDoubtful,
  toMark,
  trackOnlyLoop,
  worthALook,
} from "../commands.ts";
import { referenceFrames } from "../core/color.ts";
import { markedFrames } from "../core/state.ts";
import { clock } from "../core/timeline.ts";
import { partWords } from "../core/words.ts";
import { speed, togglePlay } from "../player.ts";
import * as store from "../store.ts";
import { IconButton } from "./parts.tsx";

export function Transport() {
  const video = store.project.value!.video;
  const now = store.frame.value;
  const { stops, doubtful, stale } = worthALook.value;
  const project = store.project.value!;
  const coloring = store.mode.value === "color";
  const marked = coloring ? referenceFrames(project) : markedFrames(project);
  const isDone = Boolean(coloring ? project.color?.result : project.result);
  const toLook = doubtful
    ? "Next doubtful frames, where the track is least sure (N)"
    : "Nothing is doubtful: what is least sure (N)";
  const undone = coloring ? "Colour first" : "Track first";
  const old = coloring ? OLD_COLORS : OLD;
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
        title={stops.length ? toLook : stale ? old : isDone ? "Nothing is doubtful" : undone}
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
        title={partWords(coloring, range, store.loop.value)}
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
