// Pointer events of the canvas: mouse, pen and fingers to the tool in hand, or to zoom and pan.

import { type Point, pinch } from "./core/view.ts";
import { mode, tool as toolName, viewMode } from "./store.ts";
import { hand, type Pen, type Tool } from "./tools/index.ts";
import type { Viewer } from "./viewer.ts";

/** In the pointer view a press looks and does not mark. */
const looking = () => viewMode.value === "pointer" && mode.value === "track";

export const spaceHeld = { down: false, used: false };

export function listenTo(viewer: Viewer, target: HTMLElement): () => void {
  const mover = hand(viewer);
  const fingers = new Map<number, Point>();
  let active: { id: number; tool: ReturnType<typeof hand>; other: boolean } | null = null;
  let pinching = false;
  let penSeen = false;
  let lastUp = 0;
  let lastAt: Point = [-99, -99];

  const place = (event: PointerEvent | WheelEvent): Point => {
    const box = target.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const penOf = (event: PointerEvent, other: boolean): Pen => {
    const screen = place(event);
    const at = viewer.toVideo(screen);
    const many = event.type === "pointermove" ? (event.getCoalescedEvents?.() ?? []) : [];
    const trail = many.map((one) => viewer.toVideo(place(one)));
    const pressure = event.pointerType === "pen" && event.pressure > 0 ? event.pressure : 1;
    const shift = event.shiftKey;
    return { at, screen, other, shift, pressure, trail: trail.length ? trail : [at] };
  };

  /** Gives up the stroke under way, and nothing that was done before it. */
  function drop(tool: Tool | undefined) {
    if (tool?.drop) tool.drop();
    else tool?.cancel();
  }

  function down(event: PointerEvent) {
    if (event.pointerType === "pen") penSeen = true;
    const screen = place(event);
    if (event.pointerType === "touch") {
      fingers.set(event.pointerId, screen);
      if (fingers.size === 2) {
        drop(active?.tool);
        active = null;
        pinching = true;
      }
      if (fingers.size >= 2) return;
    }
    if (active || (event.button !== 0 && event.button !== 1 && event.button !== 2)) return;
    event.preventDefault();
    (document.activeElement as HTMLElement | null)?.blur?.();
    // A hand on the screen while a pen draws is a palm: fingers only move the picture then.
    const palm = penSeen && event.pointerType === "touch";
    const moves = event.button === 1 || spaceHeld.down || palm || looking();
    if (spaceHeld.down) spaceHeld.used = true;
    const other = event.altKey || event.button === 2;
    const onGrip = viewer.color.isOnGrip(screen, event.pointerType === "touch");
    const tool = onGrip ? viewer.color.wiper : moves ? mover : viewer.tool;
    active = { id: event.pointerId, tool, other };
    target.setPointerCapture(event.pointerId);
    if (looking()) viewer.pointer.hover(viewer.toVideo(screen));
    if (moves && !onGrip) target.style.cursor = "grabbing";
    const pen = penOf(event, other);
    viewer.hover = pen.at;
    active.tool.down(pen);
  }

  function move(event: PointerEvent) {
    const screen = place(event);
    if (fingers.has(event.pointerId)) {
      const before = [...fingers.values()];
      fingers.set(event.pointerId, screen);
      if (pinching && fingers.size === 2) {
        const now = [...fingers.values()];
        viewer.setView(pinch(viewer.view, before as [Point, Point], now as [Point, Point]));
      }
      if (pinching) return;
    }
    const pen = penOf(event, active?.other ?? event.altKey);
    viewer.hover = pen.at;
    if (active?.id === event.pointerId) active.tool.move(pen);
    else if (!active) {
      const near = viewer.color.isOnGrip(screen, event.pointerType === "touch");
      if (near !== viewer.color.gripHeld) {
        viewer.color.gripHeld = near;
        cursor();
      }
      viewer.tool.hover?.(pen);
      if (looking()) viewer.pointer.hover(pen.at);
    }
    viewer.redraw();
  }

  function up(event: PointerEvent) {
    fingers.delete(event.pointerId);
    if (!fingers.size) pinching = false;
    if (active?.id !== event.pointerId) return;
    const { tool, other } = active;
    active = null;
    cursor();
    if (event.type === "pointercancel") return drop(tool);
    const pen = penOf(event, other);
    const [x, y] = pen.screen;
    const twice = event.timeStamp - lastUp < 350 && Math.hypot(x - lastAt[0], y - lastAt[1]) < 6;
    lastUp = twice ? 0 : event.timeStamp;
    lastAt = pen.screen;
    tool.up(pen);
    if (twice) tool.double?.(pen);
    if (event.pointerType === "touch") viewer.hover = null;
    viewer.redraw();
  }

  function leave() {
    if (active) return;
    viewer.hover = null;
    viewer.color.gripHeld = false;
    viewer.tool.hover?.(null);
    viewer.redraw();
  }

  function wheel(event: WheelEvent) {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    if (event.shiftKey || (!event.ctrlKey && Math.abs(event.deltaX) > Math.abs(event.deltaY))) {
      const { scale, x, y } = viewer.view;
      const [dx, dy] = event.deltaX ? [event.deltaX, event.deltaY] : [event.deltaY, 0];
      viewer.setView({ scale, x: x - dx * lines, y: y - dy * lines });
      return;
    }
    const speed = event.ctrlKey ? 0.01 : 0.0016;
    viewer.zoom(Math.exp(-event.deltaY * lines * speed), place(event));
  }

  function cursor() {
    const moves = spaceHeld.down || looking();
    const { gripHeld, wiper } = viewer.color;
    target.style.cursor = gripHeld ? wiper.cursor : moves ? "grab" : viewer.tool.cursor;
  }
  const stops = [
    toolName.subscribe(() => queueMicrotask(cursor)),
    viewMode.subscribe(cursor),
    mode.subscribe(() => queueMicrotask(cursor)),
  ];
  const menu = (event: MouseEvent) => event.preventDefault();
  const events: [string, (event: never) => void, AddEventListenerOptions?][] = [
    ["pointerdown", down],
    ["pointermove", move],
    ["pointerup", up],
    ["pointercancel", up],
    ["pointerleave", leave],
    ["wheel", wheel, { passive: false }],
    ["contextmenu", menu],
  ];
  for (const [name, run, options] of events) {
    target.addEventListener(name, run as EventListener, options);
  }
  const space = () => cursor();
  window.addEventListener("studio-space", space);
  return () => {
    for (const stop of stops) stop();
    for (const [name, run] of events) target.removeEventListener(name, run as EventListener);
    window.removeEventListener("studio-space", space);
  };
}
