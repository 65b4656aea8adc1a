// What is said to a person with a mouse, and to one with fingers, who has no keys at hand.

import { named, type Stretch } from "./timeline.ts";

export type Words = { mouse: string; touch: string };

export const words = (mouse: string, touch: string): Words => ({ mouse, touch });

export const TOOL_HINTS = {
  select: words(
    "Draw a loop round an object, click it, or drag over its colours",
    "Draw round an object, or tap it",
  ),
  brush: words("Paint the object. Alt or right button erases", "Paint the object"),
  eraser: words("Paint away from the picked object", "Wipe away from the picked object"),
  polygon: words("Click corner after corner", "Tap corner after corner"),
  box: words(
    "Drag a box, then the next one. Drag its sides to fit it",
    "Draw a box, then the next one. Drag its sides to fit it",
  ),
  point: words(
    "Click to place a point, then the next one. Drag one to move it",
    "Tap to place a point, then the next one. Drag one to move it",
  ),
  skeleton: words("Click joint after joint", "Tap joint after joint"),
  color: words("Paint. Alt picks a colour", "Paint strokes"),
  picture: words(
    "Drag a corner of the picture, or all of it",
    "Drag a corner of the picture, or all of it",
  ),
  hand: words("Drag to move the picture", "Drag to move the picture"),
} as const;

export const SAID = {
  missing: words("Click what is missing", "Tap what is missing"),
  first: words(
    "Too much or too little? Move Size, or click what is missing",
    "Too much or too little? Move Size, or tap what is missing",
  ),
  tooMuch: words("Click what is too much", "Tap what is too much"),
  looped: words(
    "Click what is missing, or Take away what is too much",
    "Tap what is missing, or Take away what is too much",
  ),
  loop: words("Let go: the object in the loop is meant", "Lift: the object in the loop is meant"),
  loopAway: words("Let go: nothing in the loop is meant", "Lift: nothing in the loop is meant"),
  correct: words(
    "Click what is missing, or press Take away and click what is too much",
    "Tap what is missing, or Take away and tap what is too much",
  ),
  over: words(
    "Leave out what the object has on this frame: begin with the clicks",
    "Leave out what the object has on this frame: begin with the taps",
  ),
  isNew: words("A new object", "A new object"),
  insideFirst: words("Click inside the object first", "Tap inside the object first"),
  nextCorner: words("Click the next corner", "Tap the next corner"),
  close: words("Enter or the first corner closes it", "Tap the first corner to close it"),
  skeleton: words("Click to begin a skeleton", "Tap to begin a skeleton"),
  pointer: words(
    "Point at a place to see where it copies from",
    "Touch a place to see where it copies from",
  ),
  firstStep: words(
    "Draw round an object or click it, then Accept",
    "Draw round an object, then Accept",
  ),
  noObjects: words(
    "None yet. Draw round an object in the picture, or click it, to begin.",
    "None yet. Draw round an object in the picture to begin.",
  ),
  add: words("A click says: this is part of the object", "A tap says: this is part of the object"),
  away: words(
    "A click says: this is not part of it (or Alt-click, right click)",
    "A tap says: this is not part of it",
  ),
  dropStill: words(
    "A coloured picture of this frame: choose it, or drop it on the frame",
    "A coloured picture of this frame",
  ),
  noReferences: words(
    "None yet. Pick a colour and paint a few strokes on the picture, or drop a coloured picture of this frame on it. The rest of the clip follows.",
    "None yet. Pick a colour and paint a few strokes on the picture, or use a coloured picture of this frame. The rest of the clip follows.",
  ),
  colorStep: words(
    "Paint a few colours, or drop a coloured picture",
    "Paint a few colours, or use a coloured picture",
  ),
  moving: words(
    "Wheel or two fingers: zoom. Middle button, or hold Space and drag: move the picture. Alt-click: outside the object; with the colour brush it picks a colour.",
    "Two fingers zoom and move the picture.",
  ),
  eraseStrokes: words(
    "Drag to rub strokes out; click one to take all of it away",
    "Wipe to rub strokes out; tap one to take all of it away",
  ),
  rename: words("Double-click to rename", "Double-tap to rename"),
} as const;

/** The first of the first steps, by the tool in hand. */
export function firstStep(tool: string): Words {
  if (tool === "point") return words("Click a place to follow", "Tap a place to follow");
  if (tool === "box") return words("Drag a box round a thing", "Draw a box round a thing");
  if (tool === "skeleton") return words("Click its joints one by one", "Tap its joints one by one");
  if (tool === "brush") return words("Paint an object", "Paint an object");
  if (tool === "polygon") return words("Click round an object", "Tap round an object");
  return SAID.firstStep;
}

/** The second of the first steps: what to press, or what goes on. job: its kind, if there is one. */
export function secondStep(mode: "track" | "color", job: string | null): string {
  if (job !== "track" && job !== "color") return mode === "color" ? "Press Colour" : "Press Track";
  const under = job === "color" ? "Colouring" : "Tracking";
  if (job === mode) return `${under}: the picture goes along`;
  return `${under} first, then press ${mode === "color" ? "Colour" : "Track"}`;
}

/** How a correction is kept from what is good already. */
export const HOLD = `To hold what is good already: loop over the frames to mend, then press "Only this part"`;

/**
 * What "Only this part" does now. only: the part that alone is tracked; looped: the part that is
 * played in a loop; null: there is none.
 */
export function partWords(coloring: boolean, only: Stretch | null, looped: Stretch | null): string {
  const [does, done] = coloring ? ["Colour does", "coloured"] : ["Track does", "tracked"];
  if (only) {
    const isOther = looped && String(only) !== String(looped);
    const press = isOther ? "to take the looped part instead" : "for the whole clip";
    return `${does} only ${named(only)}, and leaves the rest as it is. Press ${press}`;
  }
  const why = coloring
    ? "to try on a short piece first, or where the rest of the clip is not needed"
    : "to try on a short piece first, or to correct it and leave the rest as it is";
  return looped
    ? `${does} only ${named(looped)} then: ${why}. What is ${done} elsewhere stays`
    : `Choose a part first, with "Loop from here" and "to here". ${does} only that part then: ${why}`;
}

/** Which joint of a skeleton is next. */
export function jointWords(name: string, number: number, count: number): Words {
  const place = `${name} (${number} of ${count})`;
  return words(`Click: ${place}. Backspace skips it`, `Tap: ${place}`);
}
