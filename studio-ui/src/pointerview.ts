// "Pointer" view: where the pixel under the cursor copies from, as heat over the reference frames.

import { api, type PointerAnswer } from "./api.ts";
import { inside, type Point, toScreen } from "./core/view.ts";
import { frame } from "./store.ts";
import type { Viewer } from "./viewer.ts";

const WAIT = 80;
const SHOWN = 4;
/** Ms after which it is said that an answer is waited for. */
const LATE = 150;

export class PointerView {
  #viewer: Viewer;
  #answer: PointerAnswer | null = null;
  #pictures = new Map<number, HTMLImageElement>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #request: AbortController | null = null;
  message = "";

  constructor(viewer: Viewer) {
    this.#viewer = viewer;
  }

  clear() {
    clearTimeout(this.#timer);
    this.#request?.abort();
    this.#answer = null;
    this.message = "";
    this.#pictures.clear();
  }

  hover(at: Point) {
    clearTimeout(this.#timer);
    if (!inside(this.#viewer.video, at)) return;
    this.#timer = setTimeout(() => void this.#ask(at), WAIT);
  }

  async #ask(at: Point) {
    this.#request?.abort();
    this.#request = new AbortController();
    const late = setTimeout(() => {
      this.message = "Looking where it copies from ...";
      this.#viewer.redraw();
    }, LATE);
    this.#request.signal.addEventListener("abort", () => clearTimeout(late));
    try {
      this.#answer = await api.pointer(frame.peek(), at, this.#request.signal);
      this.message = "";
    } catch (error) {
      if ((error as Error).name === "AbortError") return;
      this.#answer = null;
      this.message = (error as Error).message;
    } finally {
      clearTimeout(late);
    }
    this.#viewer.redraw();
  }

  #picture(index: number): HTMLImageElement {
    let picture = this.#pictures.get(index);
    if (!picture) {
      picture = new Image();
      picture.onload = () => this.#viewer.redraw();
      picture.src = api.frameUrl(
        index,
        Math.min(480, this.#viewer.video.width),
        this.#viewer.frames.video,
      );
      this.#pictures.set(index, picture);
    }
    return picture;
  }

  draw(ctx: CanvasRenderingContext2D) {
    const { screen, video, view } = this.#viewer;
    if (this.message) {
      ctx.font = "13px system-ui, sans-serif";
      const width = ctx.measureText(this.message).width;
      ctx.fillStyle = "rgba(15,16,22,0.8)";
      ctx.fillRect((screen.width - width) / 2 - 12, 12, width + 24, 30);
      ctx.fillStyle = "#fff";
      ctx.fillText(this.message, (screen.width - width) / 2, 32);
    }
    const answer = this.#answer;
    if (!answer) return;
    const [x, y] = toScreen(view, answer.target);
    ctx.beginPath();
    ctx.arc(x, y, 8, 0, 2 * Math.PI);
    ctx.lineWidth = 4;
    ctx.strokeStyle = "rgba(0,0,0,0.5)";
    ctx.stroke();
    ctx.lineWidth = 2;
    ctx.strokeStyle = "#fff";
    ctx.stroke();
    const references = [...answer.references]
      .map((one) => ({ ...one, weight: one.cells.reduce((sum, cell) => sum + cell[2], 0) }))
      .sort((a, b) => b.weight - a.weight)
      .slice(0, SHOWN);
    const gap = 10;
    const room = (screen.width - 2 * gap - (SHOWN - 1) * gap) / SHOWN;
    const width = Math.min(260, room);
    const height = (width * video.height) / video.width;
    // Not over the place that is pointed at.
    const low = screen.height - height - gap - 8;
    const top = y > low - 3 * gap ? gap : low;
    references.forEach((reference, n) => {
      const left = gap + n * (width + gap);
      this.#drawReference(ctx, reference, [left, top, width, height]);
    });
  }

  #drawReference(
    ctx: CanvasRenderingContext2D,
    reference: PointerAnswer["references"][number] & { weight: number },
    [left, top, width, height]: [number, number, number, number],
  ) {
    const { video } = this.#viewer;
    ctx.save();
    ctx.beginPath();
    ctx.roundRect(left, top, width, height, 8);
    ctx.clip();
    ctx.fillStyle = "#15161c";
    ctx.fillRect(left, top, width, height);
    const picture = this.#picture(reference.frame);
    if (picture.complete && picture.naturalWidth) {
      ctx.drawImage(picture, left, top, width, height);
      ctx.fillStyle = "rgba(10,11,16,0.45)";
      ctx.fillRect(left, top, width, height);
    }
    const most = Math.max(1e-6, ...reference.cells.map((cell) => cell[2]));
    const radius = Math.max(5, width / 26);
    ctx.globalCompositeOperation = "lighter";
    for (const [x, y, weight] of reference.cells) {
      const at: Point = [
        left + ((x + 0.5) / video.width) * width,
        top + ((y + 0.5) / video.height) * height,
      ];
      const heat = ctx.createRadialGradient(...at, 0, ...at, radius);
      const alpha = 0.15 + 0.75 * (weight / most);
      heat.addColorStop(0, `rgba(255,196,90,${alpha})`);
      heat.addColorStop(1, "rgba(255,90,20,0)");
      ctx.fillStyle = heat;
      ctx.fillRect(at[0] - radius, at[1] - radius, 2 * radius, 2 * radius);
    }
    ctx.globalCompositeOperation = "source-over";
    ctx.fillStyle = "rgba(10,11,16,0.72)";
    ctx.fillRect(left, top, width, 22);
    ctx.fillStyle = "#fff";
    ctx.font = "12px system-ui, sans-serif";
    ctx.textBaseline = "middle";
    ctx.fillText(
      `Frame ${reference.frame} · ${Math.round(100 * reference.weight)} %`,
      left + 8,
      top + 11.5,
    );
    ctx.restore();
    ctx.beginPath();
    ctx.roundRect(left, top, width, height, 8);
    ctx.strokeStyle = "rgba(255,255,255,0.65)";
    ctx.lineWidth = 1;
    ctx.stroke();
  }
}
