// Keys. The list is also what the help sheet shows.

import * as run from "./commands.ts";
import { canExport } from "./core/state.ts";
import { TOOLS } from "./core/tools.ts";
import { spaceHeld } from "./input.ts";
import { togglePlay } from "./player.ts";
import { viewer } from "./stage.ts";
import * as store from "./store.ts";
import { toggleWhole, zoomTimeline } from "./timelineview.ts";
import { resizeBrush } from "./tools/brush.ts";
import { takeTool } from "./tools/take.ts";

type Shortcut = { keys: string[]; text: string; run?: (event: KeyboardEvent) => void };

const pickNumber = (event: KeyboardEvent) => {
  const item = store.project.value?.objects[Number(event.key) - 1];
  if (item) store.picked.value = item.key;
};

export const SHORTCUTS: { title: string; list: Shortcut[] }[] = [
  {
    title: "Mark",
    list: [
      ...TOOLS.map(({ name, label, key }) => ({
        keys: [key.toUpperCase()],
        text: label,
        run: () => takeTool(name),
      })),
      { keys: ["["], text: "Smaller brush", run: () => resizeBrush(1 / 1.2) },
      { keys: ["]"], text: "Larger brush", run: () => resizeBrush(1.2) },
      { keys: ["Enter"], text: "Accept", run: () => viewer.value?.tool.accept?.() },
      { keys: ["Escape"], text: "Cancel", run: run.cancel },
      { keys: ["Backspace"], text: "Last click away", run: () => viewer.value?.tool.back?.() },
      { keys: ["G"], text: "Object is gone here", run: run.gone },
      {
        keys: ["Delete"],
        text: "Clear the mark, or the strokes, of this frame",
        run: run.clearMark,
      },
      {
        keys: ["1", "2", "3", "4", "5", "6", "7", "8", "9"],
        text: "Pick an object",
        run: pickNumber,
      },
      { keys: ["Ctrl+Z"], text: "Undo", run: () => void run.undo() },
      { keys: ["Ctrl+Shift+Z", "Ctrl+Y"], text: "Redo", run: () => void run.redo() },
    ],
  },
  {
    title: "Watch",
    list: [
      { keys: ["Space"], text: "Play or pause; hold and drag to move the picture" },
      { keys: [",", "ArrowLeft"], text: "One frame back", run: () => run.step(-1) },
      { keys: [".", "ArrowRight"], text: "One frame on", run: () => run.step(1) },
      { keys: ["Shift+ArrowLeft"], text: "Ten frames back", run: () => run.step(-10) },
      { keys: ["Shift+ArrowRight"], text: "Ten frames on", run: () => run.step(10) },
      { keys: ["Home"], text: "First frame", run: () => run.step(-1e9) },
      { keys: ["End"], text: "Last frame", run: () => run.step(1e9) },
      { keys: ["N"], text: "Next doubtful frames", run: () => run.toDoubtful(true) },
      { keys: ["Shift+N"], text: "Doubtful stretch before", run: () => run.toDoubtful(false) },
      { keys: ["M"], text: "Next mark", run: () => run.toMark(true) },
      { keys: ["Shift+M"], text: "Mark before", run: () => run.toMark(false) },
      { keys: ["I"], text: "Loop starts here", run: () => run.loopEdge(0) },
      { keys: ["U"], text: "Loop ends here", run: () => run.loopEdge(1) },
      {
        keys: ["L"],
        text: "Loop on or off",
        run: () => {
          store.looping.value = !store.looping.value;
        },
      },
      { keys: ["Shift+ArrowUp"], text: "Zoom the timeline in", run: () => zoomTimeline(2) },
      { keys: ["Shift+ArrowDown"], text: "Zoom the timeline out", run: () => zoomTimeline(1 / 2) },
      {
        keys: ["Shift+Z"],
        text: "All of the clip on the timeline, or the loop",
        run: toggleWhole,
      },
    ],
  },
  {
    title: "Everything else",
    list: [
      {
        keys: ["T"],
        text: "Track, or colour",
        run: () => void (store.mode.value === "color" ? run.colorize() : run.track()),
      },
      { keys: ["Ctrl+E"], text: "Export", run: () => openDialog("export") },
      { keys: ["+", "="], text: "Zoom in", run: () => viewer.value?.zoom(1.25) },
      { keys: ["-"], text: "Zoom out", run: () => viewer.value?.zoom(0.8) },
      { keys: ["0"], text: "Fit the picture", run: () => viewer.value?.fit() },
      { keys: ["?"], text: "These keys", run: () => openDialog("help") },
    ],
  },
];

function openDialog(name: "export" | "help") {
  if (name === "export") {
    if (!store.project.value || !canExport(store.project.value)) return store.say("Track first");
  }
  store.dialog.value = name;
}

const byKey = new Map<string, (event: KeyboardEvent) => void>();
for (const { list } of SHORTCUTS) {
  for (const { keys, run: action } of list) {
    if (action) for (const key of keys) byKey.set(key.toLowerCase(), action);
  }
}

/** "ctrl+shift+z": the name of a key press in the list above. */
export function nameOf(event: Pick<KeyboardEvent, "key" | "ctrlKey" | "metaKey" | "shiftKey">) {
  const key = event.key.toLowerCase();
  const ctrl = event.ctrlKey || event.metaKey ? "ctrl+" : "";
  // Shift is part of a sign like "?", and a key of its own with letters and arrows.
  const shift = event.shiftKey && (/^[a-z]$/.test(key) || key.length > 1) ? "shift+" : "";
  return ctrl + shift + key;
}

/** Whether a key is meant for the field that has the focus. */
function typing({ target, key, ctrlKey, metaKey }: KeyboardEvent): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target.matches("input[type=checkbox], input[type=radio], input[type=color]")) {
    return key === " " || key.startsWith("Arrow");
  }
  if (target.matches("input[type=range]")) return !ctrlKey && !metaKey && key.length > 1;
  // What these hold is not text that was written: undo is for the project.
  const turns = (ctrlKey || metaKey) && ["z", "y"].includes(key.toLowerCase());
  if (turns && target.matches("select, input[type=number]")) return false;
  return target.matches("input, textarea, select, [contenteditable]");
}

/** A slider or a box that a pointer was used on gives the keys back. */
function giveBack({ target, type, detail }: MouseEvent) {
  if (!(target instanceof HTMLElement)) return;
  if (type === "pointerup" && target.matches("input[type=range]")) target.blur();
  // A key that ticks a box counts no clicks.
  if (type === "click" && detail > 0 && target.matches("input[type=checkbox]")) target.blur();
}

export function listenForKeys() {
  window.addEventListener("pointerup", giveBack);
  window.addEventListener("click", giveBack);
  window.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || typing(event) || event.altKey) return;
    if (store.dialog.value || !store.project.value) return;
    const focused = event.target instanceof HTMLElement ? event.target.closest("button, a") : null;
    if (event.key === " ") {
      if (focused) return;
      event.preventDefault();
      if (!event.repeat) {
        spaceHeld.down = true;
        spaceHeld.used = false;
        window.dispatchEvent(new Event("studio-space"));
      }
      return;
    }
    if (event.key === "Enter" && focused) return;
    const action = byKey.get(nameOf(event));
    if (!action) return;
    event.preventDefault();
    action(event);
  });
  window.addEventListener("keyup", (event) => {
    if (event.key !== " " || !spaceHeld.down) return;
    spaceHeld.down = false;
    window.dispatchEvent(new Event("studio-space"));
    if (!spaceHeld.used) togglePlay();
  });
  window.addEventListener("blur", () => {
    spaceHeld.down = false;
    window.dispatchEvent(new Event("studio-space"));
  });
}
