// What the studio knows and shows: signals, and the few functions that change them.

import { batch, computed, effect, type Signal, signal, untracked } from "@preact/signals";
import { ApiError, api, listen } from "./api.ts";
import { colorAfter } from "./core/color.ts";
import type { Style } from "./core/masks.ts";
import { type Pace, paceAfter } from "./core/pace.ts";
import type { SmallCopy } from "./core/scrub.ts";
import { templates } from "./core/skeletons.ts";
import {
  type Event,
  type Item,
  isOlder,
  itemOf,
  type Job,
  jobAfter,
  type Kind,
  marksOn,
  modeFor,
  nextName,
  pickedAfter,
  type State,
  type Tracks,
  withPlaces,
} from "./core/state.ts";
import { clampFrame, type Stretch } from "./core/timeline.ts";
import { FIRST_TOOL, type ToolName } from "./core/tools.ts";

export type ViewMode = Style | "trails" | "pointer";
export type Theme = "auto" | "light" | "dark";
type Action = { text: string; run: () => void };
/**
 * until: when it goes by itself, where no pointer is on it. about: what it is about: it takes the
 * place of the last of that.
 */
type Toast = {
  id: number;
  text: string;
  bad: boolean;
  actions: Action[];
  about: string | null;
  until: number;
};

function remembered<T extends string | number>(name: string, initial: T): Signal<T> {
  const key = `studio.${name}`;
  let start = initial;
  try {
    const text = localStorage.getItem(key);
    if (text !== null) start = (typeof initial === "number" ? Number(text) : text) as T;
  } catch {
    // No storage here: settings last as long as the page.
  }
  const value = signal<T>(start);
  effect(() => {
    const now = value.value;
    try {
      localStorage.setItem(key, String(now));
    } catch {
      // As above.
    }
  });
  return value;
}

export const state = signal<State | null>(null);
export const project = computed(() => state.value?.project ?? null);
export const online = signal(true);
export const job = signal<Job | null>(null);
/** The small copy of the film, null: it has none. */
export const smallCopy = signal<SmallCopy | null>(null);
export const pace = signal<Pace | null>(null);
export const tracks = signal<Tracks | null>(null);
/** Of frames that are being tracked. */
export const live = signal<Tracks | null>(null);
/** How many marks are on their way to the server. */
export const sending = signal(0);
export const frame = signal(0);
export const playing = signal(false);
/** True while the handle of the timeline is dragged. */
export const scrubbing = signal(false);
/** True while the picture goes along with the tracker. */
export const following = signal(false);
/** The frame that the tracker did last, which the picture goes to once it is loaded. */
export const coming = signal(-1);
/** Where it goes back to then: the frame that was marked or painted; null: it stays at the last. */
let from: number | null = null;
export function follow(backTo: number | null) {
  following.value = true;
  coming.value = -1;
  from = backTo;
}
/** Back to where one was before the picture went along. */
export function goBack() {
  if (from !== null) frame.value = from;
}
export const loop = signal<Stretch | null>(null);
export const looping = signal(false);
export const tool = signal<ToolName>(FIRST_TOOL);
export const picked = signal<string | null>(null);
export const pickedItem = computed(() => itemOf(project.value, picked.value));
export const marks = computed(() => marksOn(project.value, frame.value));
export const viewMode = remembered<ViewMode>("view", "overlay");
const brushWidth = remembered<number>("brush", 24);
const eraserWidth = remembered<number>("eraser", 24);
/** Of the brush, or of the eraser where that is in hand; px of the video. */
const width = () => (tool.value === "eraser" ? eraserWidth : brushWidth);
export const brushSize = {
  get value() {
    return width().value;
  },
  set value(pixels: number) {
    width().value = pixels;
  },
  peek: () => untracked(width).peek(),
};
/** Whether objects are tracked, or a grey film is coloured. */
export const mode = remembered<"track" | "color">("mode", "track");
/** What a video is opened for that has neither marks nor colours yet. */
export const wish = signal<"track" | "color">("track");
/** The project that `mode` was chosen for. */
const modeAt = remembered<string>("modeAt", "");
export const paintColor = remembered<string>("paint", "#d9a27e");
export const wipe = signal(0.5);
export const colorLook = signal<"color" | "saturation" | "confidence">("color");
/** How strong colours are shown and written; 1: as they were found. */
export const saturation = computed(() => project.value?.settings.saturation ?? 1);
export const strokesShown = signal(true);
export const template = remembered<string>("template", "person");
export const theme = remembered<Theme>("theme", "auto");
/** Whether doubt is drawn into videos. */
export const markDoubtful = remembered<"yes" | "no">("markDoubtful", "yes");
export const hintsSeen = remembered<string>("hints", "");
export const dialog = signal<null | "export" | "help" | "skeleton" | "batch">(null);
export const toasts = signal<Toast[]>([]);
export const busy = signal(""); // what a slow request is at: "Opening ..."
export const exported = signal<{
  message: string;
  path: string | null;
  download: string | null;
  notes: string[];
} | null>(null);
/** The format that was written last. */
export const exportedAs = signal("");
/** Grows with every frame a job has finished, so that masks of it are fetched anew. */
export const fresh = signal<{ frame: number; count: number }>({ frame: -1, count: 0 });
/** A line about the tool in hand, from the tool itself. */
export const toolLine = signal("");
/** Why the picture of the frame on show is not there: on its way, or not to be had; "": it is. */
export const pictureNote = signal("");
/** True while playing waits for pictures. */
export const buffering = signal(false);

let toastCount = 0;
/** A message of one line; one that offers something to do stays longer. Its id. */
export function say(
  text: string,
  bad = false,
  actions: Action[] = [],
  about: string | null = null,
): number {
  const stays = actions.length ? 15000 : bad ? 8000 : 3500;
  const until = performance.now() + stays;
  const toast = { id: ++toastCount, text, bad, actions, about, until };
  const isOld = (one: Toast) => one.text === text || (about !== null && one.about === about);
  toasts.value = [...toasts.value.filter((one) => !isOld(one)), toast].slice(-2);
  setTimeout(() => lapse(toast.id), stays);
  return toast.id;
}
/** The message that the pointer is over stays: a click that is meant for it must not paint. */
let under: number | null = null;
export function hold(id: number | null) {
  const left = under;
  under = id;
  if (left === null || left === id) return;
  const until = toasts.value.find((one) => one.id === left)?.until ?? 0;
  setTimeout(() => lapse(left), Math.max(1500, until - performance.now()));
}
function lapse(id: number) {
  if (id === under) return;
  dismiss(id);
}
export function dismiss(id: number) {
  toasts.value = toasts.value.filter((one) => one.id !== id);
}

/** Runs a request and shows what went wrong; true where all went well. */
export async function attempt(work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    if ((error as Error).name === "AbortError") return false;
    say((error as Error).message, true);
    if (error instanceof ApiError && error.status === 409) await refresh();
    return false;
  }
}

/** What was picked, the last one last. */
let picks: (string | null)[] = [];
effect(() => {
  const key = picked.value;
  picks = [...picks.filter((one) => one !== key), key].slice(-20);
});

let fetching: Promise<void> | null = null;
let again = false;
/** Fetches the state; calls that come while one runs make it run once more. */
export function refresh(): Promise<void> {
  if (fetching) {
    again = true;
    return fetching;
  }
  fetching = (async () => {
    do {
      again = false;
      try {
        take(await api.state(state.value));
      } catch (error) {
        if (state.value === null) say((error as Error).message, true);
      }
    } while (again);
    fetching = null;
  })();
  return fetching;
}

/** Says once where what is done goes, as nobody is asked. */
function announce(now: NonNullable<State["project"]>) {
  if (now.undo.undo || now.undo.redo || now.result || now.color?.result) return;
  say(`All you do is saved at once, in ${now.path ?? now.folder}`);
}

function take(next: State) {
  if (isOlder(next, state.value)) return;
  const before = project.value;
  batch(() => {
    state.value = next;
    job.value = next.project?.job ?? null;
    smallCopy.value = next.project?.smallCopy ?? null;
    picked.value = pickedAfter(next.project, picks);
    const now = next.project;
    if (!now) {
      playing.value = false;
      frame.value = 0;
      tracks.value = null;
    } else if (
      before?.folder !== now.folder ||
      before.path !== now.path ||
      before.video.name !== now.video.name
    ) {
      const { frame: at = now.settings.range?.[0] ?? 0, loop: part = null } = now.place ?? {};
      frame.value = clampFrame(at, now.video.frames);
      loop.value = part && part[1] <= now.video.frames ? part : now.settings.range;
      looping.value = loop.value !== null;
      tracks.value = null;
      tool.value = FIRST_TOOL;
      if (viewMode.value === "pointer") viewMode.value = "overlay";
      wipe.value = now.color?.result ? 0 : 0.5; // what was coloured is to be seen
      colorLook.value = "color";
      const place = now.path ?? now.folder;
      if (modeAt.value !== place) {
        mode.value = modeFor(now, mode.value, wish.value);
        announce(now);
      }
      modeAt.value = place;
    } else frame.value = clampFrame(frame.value, now.video.frames);
  });
  if (next.project?.result) void loadTracks(next.revision);
  else {
    tracks.value = null;
    if (!next.project?.job) live.value = null;
  }
}

async function loadTracks(revision: number) {
  if (!project.value?.objects.some((item) => item.kind !== "object")) return;
  try {
    const found = await api.tracks(revision);
    if (state.value?.revision !== revision) return;
    tracks.value = found;
    if (!job.value) live.value = null;
  } catch {
    // No tracks yet: nothing to draw.
  }
}

function onEvent(event: Event) {
  job.value = jobAfter(job.value, event);
  pace.value = paceAfter(pace.peek(), job.value, performance.now());
  switch (event.type) {
    case "state":
      if (event.revision !== state.value?.revision) void refresh();
      break;
    case "progress":
      if (event.job === "track" || event.job === "color") {
        batch(() => {
          if (event.frame === null) return;
          if (event.places) live.value = withPlaces(live.value, event.frame, event.places);
          // A coloured frame is gone to when the one before it was seen (`ColorView`).
          if (following.value && event.job === "track") coming.value = event.frame;
          fresh.value = { frame: event.frame, count: fresh.value.count + 1 };
        });
      }
      break;
    case "done":
    case "failed":
    case "stopped": {
      if (following.value && event.kind === "track") {
        if (from !== null) frame.value = from;
        else if (coming.value >= 0) frame.value = coming.value;
      }
      // Where colours are on show, it goes back once the last of them was seen (`ColorView`).
      if (following.value && event.kind === "color" && mode.value !== "color") goBack();
      following.value = false;
      if (event.kind === "export" && event.type === "done") {
        const { message, path = null, download = null, notes = [] } = event;
        exported.value = { message, path, download, notes };
        if (path && dialog.value === "export") event.message = ""; // the dialog says where it is
      }
      if (event.message) say(event.message, event.type === "failed");
      void refresh();
      break;
    }
    case "smallCopy":
      smallCopy.value = { there: event.there, making: event.making };
      break;
    case "worker":
      say(event.message, true);
      void refresh();
  }
}

/** Keeps where one is, a while after one went there. */
function keepPlace(): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  return effect(() => {
    const place = { frame: frame.value, loop: loop.value };
    clearTimeout(timer);
    if (!project.peek() || playing.value || following.value) return;
    timer = setTimeout(() => void api.place(place).catch(() => {}), PLACE_MS);
  });
}
const PLACE_MS = 700;

export function start(): () => void {
  void refresh();
  keepPlace();
  return listen(
    () => state.value?.revision ?? 0,
    onEvent,
    (open) => {
      if (open && !online.value) void refresh();
      online.value = open;
    },
  );
}

export async function act(action: { type: string; [name: string]: unknown }) {
  let key: string | undefined;
  const good = await attempt(async () => {
    key = (await api.action(action)).key;
    await refresh();
  });
  return { good, key };
}

/** Adds an object and picks it; its key, or null where that failed. */
export async function add(kind: Kind, more: Record<string, unknown> = {}): Promise<string | null> {
  const shape = kind === "keypoints" ? templates()[template.value] : null;
  const skeleton = shape ? { joints: shape.joints, edges: shape.edges } : {};
  const name = nextName(project.value, kind);
  const { key } = await act({ type: "add", kind, name, ...skeleton, ...more });
  if (key) picked.value = key;
  return key ?? null;
}

export async function added(kind: Kind): Promise<Item | null> {
  const key = await add(kind, { opens: true });
  return itemOf(project.value, key); // as it is after the addition
}

/** The picked object where it is of this kind, else a new one. */
export async function pickedOr(kind: Kind): Promise<Item | null> {
  const now = pickedItem.value;
  if (now?.kind === kind && !now.locked) return now;
  const made = await added(kind);
  if (made && now && now.kind !== kind)
    say(`${made.name} is a thing of its own, beside ${now.name}`);
  return made;
}

export function goTo(index: number) {
  const video = project.value?.video;
  following.value = false;
  if (video) frame.value = clampFrame(index, video.frames);
}

let turns: Promise<unknown> = Promise.resolve();

/** One after the other, however fast they are asked for: each sees what the one before has left. */
export function undo(which: "undo" | "redo"): Promise<unknown> {
  const take = () => turn(which);
  turns = turns.then(take, take);
  return turns;
}

async function turn(which: "undo" | "redo") {
  if (!project.value?.undo[which]) return;
  await attempt(async () => {
    const before = project.value;
    const { label, frame: where, results } = await api.undo(which);
    await refresh();
    paintColor.value = colorAfter(before, project.value, paintColor.value);
    if (typeof where === "number" && where !== frame.value) goTo(where);
    const back = results ? ", with its results" : "";
    say(`${which === "undo" ? "Undone" : "Done again"}: ${label}${back}`, false, [], "undo");
  });
}

export async function openWith(what: string, work: () => Promise<unknown>) {
  busy.value = what;
  await attempt(async () => {
    await work();
    await refresh();
  });
  busy.value = "";
}
