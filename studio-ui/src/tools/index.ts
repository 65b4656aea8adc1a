import type { ToolName } from "../store.ts";
import * as store from "../store.ts";
import type { Viewer } from "../viewer.ts";
import { box } from "./box.ts";
import { brush } from "./brush.ts";
import { colorBrush } from "./colorbrush.ts";
import { picture } from "./picture.ts";
import { point, skeleton } from "./points.ts";
import { polygon } from "./polygon.ts";
import { select } from "./select.ts";
import type { Tool } from "./tool.ts";

export type { Pen, Tool } from "./tool.ts";

export const TOOLS: {
  name: ToolName;
  label: string;
  short?: string;
  key: string;
  hint: string;
}[] = [
  {
    name: "select",
    label: "Smart select",
    short: "Select",
    key: "s",
    hint: "Click an object, or drag over all its colours",
  },
  { name: "brush", label: "Brush", key: "b", hint: "Paint the object. Alt or right button erases" },
  { name: "eraser", label: "Eraser", key: "e", hint: "Paint away from the picked object" },
  { name: "polygon", label: "Polygon", key: "p", hint: "Click corner after corner" },
  { name: "box", label: "Box", key: "r", hint: "Drag a box. Shift-drag makes another one" },
  {
    name: "point",
    label: "Point",
    key: "o",
    hint: "Click to place. Shift-click makes another one",
  },
  { name: "skeleton", label: "Skeleton", key: "k", hint: "Click joint after joint" },
  {
    name: "color",
    label: "Colour brush",
    short: "Colour",
    key: "c",
    hint: "Paint strokes",
  },
  {
    name: "picture",
    label: "Move picture",
    short: "Picture",
    key: "x",
    hint: "Drag a corner of the picture, or all of it",
  },
  { name: "hand", label: "Hand", key: "h", hint: "Drag to move the picture" },
];

/** Moves the picture. A drag with the middle button or with space held does so in every tool. */
export function hand(viewer: Viewer): Tool {
  let from: { screen: [number, number]; view: Viewer["view"] } | null = null;
  return {
    cursor: "grab",
    down(pen) {
      from = { screen: pen.screen, view: viewer.view };
    },
    move(pen) {
      if (!from) return;
      const { screen, view } = from;
      viewer.setView({
        scale: view.scale,
        x: view.x + pen.screen[0] - screen[0],
        y: view.y + pen.screen[1] - screen[1],
      });
    },
    up() {
      from = null;
    },
    cancel() {
      from = null;
    },
  };
}

export function makeTool(name: ToolName, viewer: Viewer): Tool {
  switch (name) {
    case "select":
      return select(viewer);
    case "brush":
      return brush(viewer, false);
    case "eraser":
      return brush(viewer, true);
    case "polygon":
      return polygon(viewer);
    case "box":
      return box(viewer);
    case "point":
      return point(viewer);
    case "skeleton":
      return skeleton(viewer);
    case "color":
      return colorBrush(viewer);
    case "picture":
      return picture(viewer);
    case "hand":
      return hand(viewer);
  }
}

/** Tools of a mode, in order. */
export function toolsOf(mode: "track" | "color", pictures: boolean) {
  const hidden = pictures ? ["color"] : ["color", "picture"];
  return TOOLS.filter(({ name }) =>
    mode === "color" ? name === "color" || name === "hand" : !hidden.includes(name),
  );
}

/** The tool in use: in colour mode the colour brush, whatever was in hand before. */
export function toolInHand(): ToolName {
  const coloring = store.mode.value === "color";
  const name = store.tool.value;
  if (coloring) return name === "hand" ? "hand" : "color";
  return name === "color" ? "select" : name;
}

export const toolHint = () => TOOLS.find((one) => one.name === toolInHand())?.hint ?? "";
