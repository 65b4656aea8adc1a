// The pointer in use, and words that fit it: the device's main one, till another is used.

import { signal } from "@preact/signals";
import type { Words } from "./core/words.ts";

export const touching = signal(false);

export const say = (words: Words): string => (touching.value ? words.touch : words.mouse);

export function listenForPointers() {
  const coarse = matchMedia("(pointer: coarse)");
  touching.value = coarse.matches;
  coarse.addEventListener("change", () => {
    touching.value = coarse.matches;
  });
  // A pen comes with either of them.
  const used = ({ pointerType }: PointerEvent) => {
    if (pointerType !== "pen") touching.value = pointerType === "touch";
  };
  window.addEventListener("pointerdown", used, true);
}
