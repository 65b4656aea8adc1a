// Every call to the server, one function each. Errors carry the server's one line.

import type { Place } from "./core/formats.ts";
import { decodePng, type Grey } from "./core/png.ts";
import { type Event, filled, type State, type Tracks } from "./core/state.ts";
import type { Point } from "./core/view.ts";

export class ApiError extends Error {
  status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

async function request(path: string, init?: RequestInit): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(path, { credentials: "same-origin", ...init });
  } catch (error) {
    if ((error as Error).name === "AbortError") throw error;
    throw new ApiError(0, "The studio does not answer. Is it still running?");
  }
  if (answer.ok) return answer;
  let message = `${answer.status} ${answer.statusText}`;
  try {
    const body = (await answer.json()) as { error?: string };
    if (body.error) message = body.error;
  } catch {
    // No line of its own: the status says what there is to say.
  }
  throw new ApiError(answer.status, message);
}

function post(path: string, body: unknown = {}): Promise<Response> {
  return request(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
}

async function grey(path: string, signal?: AbortSignal): Promise<Grey | null> {
  try {
    const answer = await request(path, signal ? { signal } : undefined);
    if (answer.status === 204) return null; // nothing there yet
    return await decodePng(new Uint8Array(await answer.arrayBuffer()));
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

/** What was undone or done again, where that is to be seen, and whether its results came back. */
export type Turned = { revision: number; label: string; frame?: number | null; results?: boolean };

export type PointerAnswer = {
  target: Point;
  references: { frame: number; size: [number, number]; cells: [number, number, number][] }[];
};

/** Names this page to the server, which drops its requests that newer ones have overtaken. */
const TAB = Math.random().toString(36).slice(2, 12);
let sequence = 0;

export const api = {
  /** `now`: what is held; its long lists are not sent again. */
  state: async (now: State | null) => {
    const project = now?.project;
    const keys = {
      times: project?.video.timesKey,
      result: project?.result?.key,
      color: project?.color?.result?.key,
    };
    const query = Object.entries(keys)
      .filter(([, key]) => key)
      .map(([name, key]) => `${name}=${encodeURIComponent(key!)}`);
    const answer = await request(query.length ? `/api/state?${query.join("&")}` : "/api/state");
    return filled((await answer.json()) as State, now);
  },
  tracks: async (revision: number) =>
    (await request(`/api/tracks?revision=${revision}`)).json() as Promise<Tracks>,
  /** `video` names it, so that what the browser keeps is never another video's. */
  frameUrl: (frame: number, width: number, video: string) =>
    `/api/frames/${frame}?width=${width}&v=${encodeURIComponent(video.slice(-80))}`,
  /**
   * `rough`: a frame near it or a small picture of it will do, where that is quicker; `frame` and
   * `small` of the answer say which.
   */
  frame: async (
    video: string,
    frame: number,
    width: number,
    signal: AbortSignal,
    rough = false,
  ) => {
    const more = rough ? `&rough=1&tab=${TAB}&seq=${++sequence}` : "";
    const answer = await request(api.frameUrl(frame, width, video) + more, { signal });
    const which = answer.headers.get("x-frame");
    const small = answer.headers.get("x-small") !== null;
    return { blob: await answer.blob(), frame: which === null ? frame : Number(which), small };
  },
  mask: (frame: number, of: "result" | "marks", revision: number) =>
    grey(`/api/masks/${frame}?of=${of}&revision=${revision}`),
  pointer: async (frame: number, at: Point, signal: AbortSignal) => {
    const [x, y] = at.map((value) => value.toFixed(1));
    const answer = await request(`/api/pointer/${frame}?x=${x}&y=${y}`, { signal });
    return (await answer.json()) as PointerAnswer;
  },
  action: async (action: { type: string; [name: string]: unknown }) =>
    (await post("/api/actions", action)).json() as Promise<{ revision: number; key?: string }>,
  undo: async (which: "undo" | "redo") => (await post(`/api/${which}`)).json() as Promise<Turned>,
  select: async (
    body: {
      frame: number;
      strokes: { places: Point[]; inside: boolean; size?: number; around?: boolean }[];
      base?: string;
    },
    signal: AbortSignal,
  ) => {
    const answer = await request("/api/select", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
      signal,
    });
    return decodePng(new Uint8Array(await answer.arrayBuffer()));
  },
  colorFrame: async (
    frame: number,
    look: { width: number; view: string; saturation: number; key: string },
    signal: AbortSignal,
  ) => {
    const query = Object.entries(look).map(([name, value]) => `${name}=${value}`);
    return (await request(`/api/color/frames/${frame}?${query.join("&")}`, { signal })).blob();
  },
  /** Of those that wait for a frame, the server answers the newest alone. */
  colorReference: async (
    frame: number,
    look: { width: number; saturation: number; revision: number },
    signal: AbortSignal,
  ) => {
    const query = Object.entries({ ...look, tab: TAB, seq: ++sequence });
    const path = `/api/color/reference/${frame}?${query.map(([name, value]) => `${name}=${value}`).join("&")}`;
    return (await request(path, { signal })).blob();
  },
  colorSuggest: async () =>
    (await request("/api/color/suggest")).json() as Promise<{ frame: number; why: string }>,
  colorize: (body: { from?: number; to?: number } = {}) => post("/api/colorize", body),
  batch: async (body: { videos: string[]; format: "csv" | "jsonl" }) =>
    (await post("/api/batch", body)).json() as Promise<{
      path: string;
      download: string;
      text: string;
      command: string;
      notes: string[];
    }>,
  place: (place: { frame: number; loop: [number, number] | null }) => post("/api/place", place),
  track: (body: { from?: number; to?: number } = {}) => post("/api/track", body),
  copyVideo: () => post("/api/copy-video"),
  stop: () => post("/api/stop"),
  export: (body: {
    format: string;
    startNumber?: number;
    saturation?: number;
    existing?: "replace" | "keep";
    markDoubtful?: boolean;
  }) => post("/api/export", body),
  exportPlace: async (format: string) =>
    (
      await request(`/api/export-place?format=${encodeURIComponent(format)}`)
    ).json() as Promise<Place>,
  exportPreview: async (
    format: string,
    frame: number,
    markDoubtful: boolean,
    signal: AbortSignal,
  ) => {
    const asked = `format=${encodeURIComponent(format)}&frame=${frame}&markDoubtful=${markDoubtful}`;
    const answer = await request(`/api/export-preview?${asked}`, { signal });
    if (answer.headers.get("Content-Type")?.startsWith("image/")) {
      return { image: URL.createObjectURL(await answer.blob()) };
    }
    return (await answer.json()) as { text: string };
  },
  open: (path: string) => post("/api/open", { path }),
  upload: (file: File) => {
    const form = new FormData();
    form.append("file", file, file.name);
    return request("/api/upload", { method: "POST", body: form });
  },
  demo: () => post("/api/demo"),
  close: () => post("/api/close"),
};

/** Events from the server; connects again after a break, each time a little later, at most 5 s. */
export function listen(
  since: () => number,
  onEvent: (event: Event) => void,
  onLine: (open: boolean) => void,
): () => void {
  let socket: WebSocket | null = null;
  let wait = 250;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let ended = false;
  const connect = () => {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    socket = new WebSocket(`${scheme}://${location.host}/api/events?since=${since()}`);
    socket.onopen = () => {
      wait = 250;
      onLine(true);
    };
    socket.onmessage = (message) => onEvent(JSON.parse(String(message.data)) as Event);
    socket.onclose = () => {
      if (ended) return;
      onLine(false);
      timer = setTimeout(connect, wait);
      wait = Math.min(5000, wait * 2);
    };
  };
  connect();
  return () => {
    ended = true;
    clearTimeout(timer);
    socket?.close();
  };
}
