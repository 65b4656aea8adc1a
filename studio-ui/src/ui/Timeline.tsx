import { useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { onlyLoop, trackOnlyLoop, worthALook } from "../commands.ts";
import { asTimeline, referenceFrames } from "../core/color.ts";
import { copyLine } from "../core/scrub.ts";
import { atX, frameAtX, xOfFrame } from "../core/shown.ts";
import { markedFrames } from "../core/state.ts";
import * as store from "../store.ts";
import {
  isZoomed,
  moveTimeline,
  shown,
  showWhole,
  toggleWhole,
  worthZooming,
  zoomTimeline,
} from "../timelineview.ts";
import { IconButton } from "./parts.tsx";
import { Transport } from "./Transport.tsx";
import { colorsOf, drawMain, drawOverview, drawStrips, OVERVIEW, STRIP } from "./timelinedraw.ts";

/** How far the small copy of the film is, while it is made. */
function Copying() {
  const text = copyLine(store.smallCopy.value, store.project.value!.video.frames);
  return text ? <span class="copying">{text}</span> : null;
}

function ZoomButtons() {
  const zoomed = isZoomed.value;
  return (
    <div class="lane-zoom">
      <IconButton
        icon="less"
        label="Zoom the timeline out"
        keys="Shift+↓"
        size={16}
        disabled={!zoomed}
        onClick={() => zoomTimeline(1 / 2)}
      />
      <IconButton
        icon="add"
        label="Zoom the timeline in"
        keys="Shift+↑"
        size={16}
        onClick={() => zoomTimeline(2)}
      />
      <button
        type="button"
        class="link"
        title="The whole clip on the timeline, or the looped part of it (Shift+Z)"
        disabled={!zoomed && !worthZooming.value}
        onClick={toggleWhole}
      >
        {!zoomed && worthZooming.value ? "Part" : "All"}
      </button>
    </div>
  );
}

/** All of the clip in small, to move what the timeline shows. */
function Overview(props: { canvas: { current: HTMLCanvasElement | null } }) {
  const grip = useRef<number | null>(null); // how far from the middle it was taken, in frames
  const frames = store.project.value!.video.frames;
  const at = (event: PointerEvent) => {
    const box = props.canvas.current!.getBoundingClientRect();
    return atX(event.clientX - box.left, box.width, [0, frames]);
  };
  const to = (middle: number) => {
    const [first, end] = shown.peek();
    moveTimeline(middle - (first + end) / 2);
  };
  return (
    <div
      class={isZoomed.value ? "lane overview" : "lane overview none"}
      aria-hidden="true"
      title="Drag to move along the clip. Twice for all of it"
      onPointerDown={(event) => {
        if (event.button !== 0) return;
        event.currentTarget.setPointerCapture(event.pointerId);
        const [first, end] = shown.peek();
        const place = at(event);
        const inIt = place >= first && place < end;
        grip.current = inIt ? place - (first + end) / 2 : 0;
        if (!inIt) to(place);
      }}
      onPointerMove={(event) => {
        if (grip.current !== null) to(at(event) - grip.current);
      }}
      onPointerUp={() => {
        grip.current = null;
      }}
      onPointerCancel={() => {
        grip.current = null;
      }}
      onDblClick={showWhole}
    >
      <canvas ref={props.canvas} style={{ height: `${OVERVIEW}px` }} />
    </div>
  );
}

/** The wheel zooms, turned sideways or with Shift it moves; over a list that scrolls only with Ctrl. */
function listenToWheel(root: HTMLElement, main: HTMLElement): () => void {
  const onWheel = (event: WheelEvent) => {
    const target = event.target as Element;
    if (!target.closest(".lane")) return;
    const box = main.getBoundingClientRect();
    const sideways = event.shiftKey ? event.deltaX || event.deltaY : event.deltaX;
    const along = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
    const list = target.closest<HTMLElement>(".strips");
    const scrolls = list !== null && list.scrollHeight > list.clientHeight;
    if (!along && scrolls && !event.ctrlKey) return;
    event.preventDefault();
    const unit = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1;
    const [first, end] = shown.peek();
    if (along) moveTimeline((sideways * unit * (end - first)) / box.width);
    else {
      // A wheel turns by a hundred, two fingers that spread by a few.
      const by = Math.exp((-event.deltaY * unit) / (event.ctrlKey ? 100 : 300));
      zoomTimeline(by, atX(event.clientX - box.left, box.width, [first, end]));
    }
  };
  root.addEventListener("wheel", onWheel, { passive: false });
  return () => root.removeEventListener("wheel", onWheel);
}

export function Timeline() {
  const root = useRef<HTMLElement>(null);
  const main = useRef<HTMLCanvasElement>(null);
  const strips = useRef<HTMLCanvasElement>(null);
  const overview = useRef<HTMLCanvasElement>(null);
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
    const look = worthALook.value;
    const doubtful = look.doubtful ? look.stops.map(({ stretch }) => stretch) : [];
    const view = { frame, marked, loop, looping, job, shown: shown.value, doubtful };
    draw.current = () => {
      if (!root.current || !main.current || !strips.current || !overview.current) return;
      const colors = colorsOf(root.current);
      const drawn = coloring ? asTimeline(project) : project;
      drawMain(main.current, drawn, view, colors);
      drawStrips(strips.current, drawn, view, colors);
      drawOverview(overview.current, drawn, view, colors);
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
    const deaf = listenToWheel(root.current!, main.current!);
    return () => {
      deaf();
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

  const drag = useRef<null | { looping: number | null; part: boolean; x: number }>(null);
  const frameAt = (clientX: number, catching = false) => {
    const box = main.current!.getBoundingClientRect();
    const x = clientX - box.left;
    const at = frameAtX(x, box.width, shown.peek(), frames);
    if (!catching) return at;
    // A diamond catches what is near it.
    const near = marked.find((one) => Math.abs(xOfFrame(one, box.width, shown.peek()) - x) < 6);
    return near ?? at;
  };
  const dragTo = (at: number) => {
    const now = drag.current;
    if (!now) return;
    if (now.looping === null) store.goTo(at);
    else if (at !== now.looping) {
      store.loop.value = [Math.min(at, now.looping), Math.max(at, now.looping) + 1];
      store.looping.value = true;
    }
  };
  /** A handle that is held beyond an end takes the timeline along, the faster the further it is. */
  const takeAlong = () => {
    const now = drag.current;
    if (!now) return;
    const box = main.current!.getBoundingClientRect();
    const beyond = Math.min(0, now.x - box.left) + Math.max(0, now.x - box.right);
    if (beyond) {
      const [first, end] = shown.peek();
      const part = Math.max(-0.05, Math.min(0.05, beyond / 1000));
      moveTimeline(part * (end - first));
      dragTo(frameAt(now.x));
    }
    requestAnimationFrame(takeAlong);
  };
  const fingers = useRef(new Map<number, number>());
  /** Two fingers: what is between them stays between them. */
  const pinch = (event: PointerEvent) => {
    const held = fingers.current;
    const box = main.current!.getBoundingClientRect();
    const before = [...held.values()];
    held.set(event.pointerId, event.clientX);
    const now = [...held.values()];
    const middle = (both: number[]) => (both[0]! + both[1]!) / 2 - box.left;
    const apart = (both: number[]) => Math.max(8, Math.abs(both[0]! - both[1]!));
    const [first, end] = shown.peek();
    moveTimeline(((middle(before) - middle(now)) * (end - first)) / box.width);
    zoomTimeline(apart(now) / apart(before), atX(middle(now), box.width, shown.peek()));
  };
  const onDown = (event: PointerEvent) => {
    if (event.pointerType === "touch") fingers.current.set(event.pointerId, event.clientX);
    if (fingers.current.size === 2) onUp();
    if (event.button !== 0 || drag.current || fingers.current.size > 1) return;
    (event.currentTarget as HTMLElement).setPointerCapture(event.pointerId);
    const at = frameAt(event.clientX, true);
    drag.current = { looping: event.shiftKey ? at : null, part: onlyLoop(), x: event.clientX };
    store.playing.value = false;
    store.scrubbing.value = !event.shiftKey;
    if (!event.shiftKey) store.goTo(at);
    if (isZoomed.peek()) requestAnimationFrame(takeAlong);
  };
  const onMove = (event: PointerEvent) => {
    if (fingers.current.has(event.pointerId) && fingers.current.size === 2) return pinch(event);
    if (!drag.current) return;
    drag.current.x = event.clientX;
    dragTo(frameAt(event.clientX));
  };
  const onUp = (event?: PointerEvent) => {
    if (event) fingers.current.delete(event.pointerId);
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
          <span>Marks</span>
          <ZoomButtons />
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
        <Overview canvas={overview} />
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
