// Another tool is taken in hand.

import { signal } from "@preact/signals";
import type { ToolName } from "../core/tools.ts";
import * as store from "../store.ts";

/** A tool that was changed by something else than its button: its button is pointed out. */
export const changed = signal<ToolName | null>(null);
let timer: ReturnType<typeof setTimeout> | undefined;

export function pointOut(name: ToolName) {
  clearTimeout(timer);
  changed.value = name;
  timer = setTimeout(() => {
    changed.value = null;
  }, 2000);
}

export function takeTool(name: ToolName) {
  store.tool.value = name;
  if (store.viewMode.value === "pointer") store.viewMode.value = "overlay"; // there all only look
}
