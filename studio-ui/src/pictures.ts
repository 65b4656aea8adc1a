// Pictures that are placed on a frame and go with it: how they are added and drawn.

import { base64 } from "./core/png.ts";
import { middleQuad, onQuad, type Quad } from "./core/quad.ts";
import type { Texture } from "./core/state.ts";
import { toScreen } from "./core/view.ts";
import { twoTone } from "./shapes.ts";
import * as store from "./store.ts";
import type { Viewer } from "./viewer.ts";

const LONGEST = 1024;
const CELLS = 8;

/** Places a picture file in the middle of the frame on show. */
export async function addPicture(file: File | undefined) {
  const video = store.project.value?.video;
  if (!file || !video) return;
  await store.attempt(async () => {
    const picture = await createImageBitmap(file);
    const scale = Math.min(1, LONGEST / Math.max(picture.width, picture.height));
    const size = [picture.width, picture.height].map((side) =>
      Math.max(1, Math.round(side * scale)),
    );
    const canvas = new OffscreenCanvas(size[0]!, size[1]!);
    canvas.getContext("2d")!.drawImage(picture, 0, 0, canvas.width, canvas.height);
    const blob = await canvas.convertToBlob({ type: "image/png" });
    const png = base64(new Uint8Array(await blob.arrayBuffer()));
    const quad = middleQuad(canvas, video);
    const name = file.name.replace(/\.[^.]*$/, "").slice(0, 80) || "picture";
    const frame = store.frame.value;
    if ((await store.act({ type: "texture", frame, png, quad, name })).good) {
      store.tool.value = "picture";
    }
  });
}

export class PictureView {
  /** The quad of one that is being dragged. */
  moved: { id: number; quad: Quad } | null = null;
  #viewer: Viewer;
  #images = new Map<string, HTMLImageElement>();

  constructor(viewer: Viewer) {
    this.#viewer = viewer;
  }

  here(): Texture[] {
    const now = store.frame.peek();
    return (store.project.peek()?.textures ?? []).filter((one) => one.frame === now);
  }

  quadOf(texture: Texture): Quad {
    return this.moved?.id === texture.id ? this.moved.quad : texture.quad;
  }

  #image(texture: Texture): HTMLImageElement {
    const source = `/api/textures/${texture.id}?v=${encodeURIComponent(store.project.peek()?.folder ?? "")}`;
    let image = this.#images.get(source);
    if (!image) {
      image = new Image();
      image.onload = () => this.#viewer.redraw();
      image.src = source;
      this.#images.set(source, image);
    }
    return image;
  }

  /** In CSS pixels. The perspective is made of small pieces, each of them affine. */
  draw(ctx: CanvasRenderingContext2D) {
    for (const texture of this.here()) {
      const quad = this.quadOf(texture).map((at) => toScreen(this.#viewer.view, at)) as Quad;
      const image = this.#image(texture);
      if (image.complete && image.naturalWidth) drawWarped(ctx, image, quad);
      if (store.tool.peek() !== "picture") continue;
      ctx.beginPath();
      quad.forEach(([x, y], n) => {
        if (n) ctx.lineTo(x, y);
        else ctx.moveTo(x, y);
      });
      ctx.closePath();
      twoTone(ctx, "#fff", 1.5);
      for (const [x, y] of quad) {
        ctx.beginPath();
        ctx.arc(x, y, 6, 0, 2 * Math.PI);
        ctx.fillStyle = "#fff";
        ctx.fill();
        ctx.strokeStyle = "rgba(0,0,0,0.6)";
        ctx.lineWidth = 1.5;
        ctx.stroke();
      }
    }
  }
}

function drawWarped(ctx: CanvasRenderingContext2D, image: HTMLImageElement, quad: Quad) {
  const at = onQuad(quad);
  const [w, h] = [image.naturalWidth, image.naturalHeight];
  const base = ctx.getTransform();
  for (let row = 0; row < CELLS; row++) {
    for (let column = 0; column < CELLS; column++) {
      const [u, v, step] = [column / CELLS, row / CELLS, 1 / CELLS];
      const [a, b, c, d] = [at(u, v), at(u + step, v), at(u + step, v + step), at(u, v + step)];
      ctx.save();
      ctx.beginPath();
      const middle = at(u + step / 2, v + step / 2);
      // Half a pixel wider than the cell, so that no seam shows.
      for (const [x, y] of [a, b, c, d]) {
        ctx.lineTo(x + 0.6 * Math.sign(x - middle[0]), y + 0.6 * Math.sign(y - middle[1]));
      }
      ctx.clip();
      // The parallelogram that fits the cell best: the mean of its opposite sides.
      const across = [(b[0] - a[0] + c[0] - d[0]) / 2, (b[1] - a[1] + c[1] - d[1]) / 2] as const;
      const down = [(d[0] - a[0] + c[0] - b[0]) / 2, (d[1] - a[1] + c[1] - b[1]) / 2] as const;
      const [sx, sy] = [w * step, h * step];
      ctx.setTransform(
        base.multiply(
          new DOMMatrix([
            ...[across[0] / sx, across[1] / sx, down[0] / sy, down[1] / sy],
            ...[middle[0] - across[0] / 2 - down[0] / 2, middle[1] - across[1] / 2 - down[1] / 2],
          ]),
        ),
      );
      const [mx, my] = [sx / 8, sy / 8];
      const [left, top] = [Math.max(0, u * w - mx), Math.max(0, v * h - my)];
      const [right, bottom] = [Math.min(w, u * w + sx + mx), Math.min(h, v * h + sy + my)];
      const [x, y] = [left - u * w, top - v * h];
      ctx.drawImage(image, left, top, right - left, bottom - top, x, y, right - left, bottom - top);
      ctx.restore();
    }
  }
  ctx.setTransform(base);
}
