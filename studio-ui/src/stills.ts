// Coloured pictures that are given for a frame, and whether they show it.

import { signal } from "@preact/signals";
import { api } from "./api.ts";
import { referenceOn } from "./core/color.ts";
import { fitted, LIKE, likeness, smallSize } from "./core/likeness.ts";
import { base64 } from "./core/png.ts";
import { viewer } from "./stage.ts";
import * as store from "./store.ts";

const FACTOR = 4;

/** Names of pictures that do not look like the frame that they were given for. */
const unlike = signal<ReadonlySet<string>>(new Set());
const nameOn = (frame: number) =>
  `${frame} ${referenceOn(store.project.value, frame)?.stillKey ?? ""}`;

/** Whether the picture that a frame has its colours from does not look like it. */
export const isUnlike = (frame: number): boolean => unlike.value.has(nameOn(frame));

async function frameBitmap(frame: number): Promise<ImageBitmap> {
  const frames = viewer.value!.frames;
  const held = frames.get(frame);
  if (held) return held;
  const got = await api.frame(frames.video, frame, 320, new AbortController().signal);
  return createImageBitmap(got.blob);
}

/** How alike a picture and a frame are, -1 to 1, with the picture fitted to it as it will be. */
async function likenessOf(file: File, frame: number): Promise<number> {
  const video = store.project.value!.video;
  const [shown, picture] = await Promise.all([frameBitmap(frame), createImageBitmap(file)]);
  const size = smallSize(video.width, video.height);
  const [width, height] = [size.width * FACTOR, size.height * FACTOR];
  const pixels = (bitmap: ImageBitmap) => {
    const ctx = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true })!;
    ctx.imageSmoothingQuality = "high";
    ctx.drawImage(bitmap, ...fitted(bitmap, video), 0, 0, width, height);
    return ctx.getImageData(0, 0, width, height).data;
  };
  return likeness(pixels(shown), pixels(picture), width, FACTOR);
}

/** A coloured still of the frame on show: a picture file that was dropped or chosen. */
export async function useStill(file: File | undefined) {
  if (!file) return;
  const frame = store.frame.value;
  await store.attempt(async () => {
    const png = base64(new Uint8Array(await file.arrayBuffer()));
    const alike = await likenessOf(file, frame).catch(() => 1); // the server says what is wrong
    if (!(await store.act({ type: "colorStill", frame, png })).good) return;
    if (alike < LIKE) {
      unlike.value = new Set([...unlike.value, nameOn(frame)]);
      store.say(`Taken, though ${file.name} does not look like frame ${frame}`);
    } else store.say(`Frame ${frame} takes its colours from ${file.name}`);
  });
}
