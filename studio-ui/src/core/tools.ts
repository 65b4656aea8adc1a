// The tools: their names and keys, and which one is in hand when.

import type { Kind } from "./state.ts";

export type ToolName =
  | "select"
  | "brush"
  | "eraser"
  | "polygon"
  | "box"
  | "point"
  | "skeleton"
  | "color"
  | "picture"
  | "hand";

/** What a clip is opened with. */
export const FIRST_TOOL: ToolName = "select";

export const TOOLS: { name: ToolName; label: string; short?: string; key: string }[] = [
  { name: "select", label: "Smart select", short: "Select", key: "s" },
  { name: "brush", label: "Brush", key: "b" },
  { name: "eraser", label: "Eraser", key: "e" },
  { name: "polygon", label: "Polygon", key: "p" },
  { name: "box", label: "Box", key: "r" },
  { name: "point", label: "Point", key: "o" },
  { name: "skeleton", label: "Skeleton", key: "k" },
  { name: "color", label: "Colour brush", short: "Colour", key: "c" },
  { name: "picture", label: "Move picture", short: "Picture", key: "x" },
  { name: "hand", label: "Hand", key: "h" },
];

const COLOR_TOOLS: ToolName[] = ["color", "eraser", "hand"];

/** Tools of a mode, in order. */
export function toolsOf(mode: "track" | "color", pictures: boolean) {
  if (mode === "color") return COLOR_TOOLS.map((name) => TOOLS.find((one) => one.name === name)!);
  const hidden = pictures ? ["color"] : ["color", "picture"];
  return TOOLS.filter(({ name }) => !hidden.includes(name));
}

/** The tool in use: one that the mode has, in colour mode the colour brush where there is no such. */
export function inHand(mode: "track" | "color", name: ToolName): ToolName {
  if (mode === "color") return COLOR_TOOLS.includes(name) ? name : "color";
  return name === "color" ? FIRST_TOOL : name;
}

const MARKS: Record<Kind, ToolName[]> = {
  object: ["select", "brush", "polygon"],
  point: ["point"],
  box: ["box"],
  keypoints: ["skeleton"],
};

/** The tool to mark a thing with that was just added: the one in hand, where it can. */
export function toolFor(kind: Kind, now: ToolName): ToolName {
  if (MARKS[kind].includes(now)) return now;
  // Who was erasing goes on painting.
  return kind === "object" && now === "eraser" ? "brush" : MARKS[kind][0]!;
}

/** What is said when a thing was added: what to mark it with. */
export function addedLine(name: string, tool: ToolName, before: ToolName): string {
  const label = TOOLS.find((one) => one.name === tool)?.label ?? tool;
  return tool === before
    ? `${name}: mark it; the tool is ${label}`
    : `${name}: the tool is ${label} now`;
}
