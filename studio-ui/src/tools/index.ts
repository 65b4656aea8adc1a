import { inHand, type ToolName } from "../core/tools.ts";
import { SAID, TOOL_HINTS } from "../core/words.ts";
import * as store from "../store.ts";
import type { Viewer } from "../viewer.ts";
import { say } from "../words.ts";
import { box } from "./box.ts";
import { brush } from "./brush.ts";
import { colorBrush } from "./colorbrush.ts";
import { picture } from "./picture.ts";
import { point, skeleton } from "./points.ts";
import { polygon } from "./polygon.ts";
import { select } from "./select.ts";
import type { Tool } from "./tool.ts";

export type { Pen, Tool } from "./tool.ts";

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
      return store.mode.value === "color" ? colorBrush(viewer, true) : brush(viewer, true);
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

export const toolInHand = (): ToolName => inHand(store.mode.value, store.tool.value);

export const toolHint = (): string => {
  const name = toolInHand();
  const erases = name === "eraser" && store.mode.value === "color";
  return say(erases ? SAID.eraseStrokes : TOOL_HINTS[name]);
};
