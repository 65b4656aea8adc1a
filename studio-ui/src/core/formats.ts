// What can be exported, as the dialog lists it. No DOM, no network.

import { unsettled } from "./settled.ts";
import { type Format, type Item, markOf, marksOn, type Project } from "./state.ts";
import { merged, named, type Stretch, stretchesOf } from "./timeline.ts";

export type Group = { title: string; formats: Format[] };

const KINDS: Record<string, string> = {
  object: "objects",
  keypoints: "skeletons",
  box: "boxes",
  point: "points",
  color: "coloured clips",
  texture: "placed pictures",
};

/** Why a format cannot be chosen: what it is for, or what it needs; null where it can. */
export function whyNot(format: Format, kinds: Set<string>, tracked: boolean): string | null {
  if (!format.available) return format.extra ? `needs chromatrack[${format.extra}]` : "not here";
  if (format.kinds.length && !format.kinds.some((kind) => kinds.has(kind))) {
    return `for ${format.kinds.map((kind) => KINDS[kind] ?? kind).join(", ")}`;
  }
  if (!tracked && !format.kinds.some((kind) => kind === "color" || kind === "texture")) {
    return "track first";
  }
  return null;
}

const plain = (text: string) => text.normalize("NFKD").toLowerCase();

/** The beginning of a long word: "transparency" is looked for where "transparent" is said. */
const stem = (word: string) => word.slice(0, 8);

/** Whether each word that was typed is in what a format is called, or in what it is for. */
export function fits(format: Format, typed: string): boolean {
  const told = plain(`${format.title} ${format.name} ${format.group} ${format.tool}`);
  return plain(typed)
    .split(/\s+/)
    .every((word) => told.includes(stem(word)));
}

/** The one that was most likely meant: called so, then of most kinds of things, then the first. */
export function likeliest(fitting: Format[], typed: string): Format | undefined {
  const words = plain(typed).split(/\s+/);
  const called = ({ title, name }: Format) =>
    words.every((word) => plain(`${title} ${name}`).includes(stem(word))) ? 1 : 0;
  const better = (a: Format, b: Format) => called(b) - called(a) || b.kinds.length - a.kinds.length;
  return [...fitting].sort(better)[0];
}

/** Formats that fit, in their groups and in their order; the chosen one is always among them. */
export function grouped(formats: Format[], typed: string, chosen: string): Group[] {
  const groups: Group[] = [];
  for (const format of formats) {
    if (format.name !== chosen && !fits(format, typed)) continue;
    const group = groups.find(({ title }) => title === format.group);
    if (group) group.formats.push(format);
    else groups.push({ title: format.group, formats: [format] });
  }
  return groups;
}

/**
 * Where a format goes: made in seconds since 1970, null: nothing is there; older: that is not of
 * what was tracked last; free: one beside it; files: what a folder holds for each object.
 */
export type Place = {
  name: string;
  made: number | null;
  older: boolean;
  free: string;
  files: string[];
};

const two = (number: number) => String(number).padStart(2, "0");
const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

/** When something was made, as one says it: "today at 10:31". */
export function whenMade(seconds: number, now: Date): string {
  const made = new Date(1000 * seconds);
  const dayOf = (day: Date) => new Date(day.getFullYear(), day.getMonth(), day.getDate()).getTime();
  const days = Math.round((dayOf(now) - dayOf(made)) / 86_400_000);
  const time = `at ${two(made.getHours())}:${two(made.getMinutes())}`;
  if (days === 0) return `today ${time}`;
  if (days === 1) return `yesterday ${time}`;
  const year = made.getFullYear() === now.getFullYear() ? "" : ` ${made.getFullYear()}`;
  return `on ${made.getDate()} ${MONTHS[made.getMonth()]}${year} ${time}`;
}

/** In words: what is there already; null: nothing is. */
export function placeLine(place: Place, now: Date): string | null {
  if (place.made === null) return null;
  const since = place.older ? ", before the last tracking" : "";
  return `${place.name} was made ${whenMade(place.made, now)}${since}`;
}

/** In words: what a folder will hold for each object. */
export function filesLine({ name, files }: Place): string[] {
  if (!files.length) return [];
  const all = files.length > 1 ? `; ${files.at(-1)} has all of them` : "";
  return [`${name} holds ${files.slice(0, Math.max(1, files.length - 1)).join(", ")}${all}.`];
}

/** A path in two: its folders, which may be cut short, and the file's name, which may not. */
export function parted(path: string): [folders: string, file: string] {
  const end = Math.max(0, path.lastIndexOf("/"), path.lastIndexOf("\\"));
  return [path.slice(0, end), path.slice(end)];
}

/** In words: what of the project will not be in what is written. */
export function leftOut(project: Project, format: Format): string[] {
  if (format.kinds.includes("texture")) return [];
  if (format.kinds.includes("color")) {
    const result = project.color?.result;
    const whole = !result || (result.start === 0 && result.end >= project.video.frames);
    return whole
      ? []
      : [`Frames ${result.start} to ${result.end - 1} are written: they have colours.`];
  }
  const tracked = project.result;
  const isPart = tracked && (tracked.start > 0 || tracked.end < project.video.frames);
  const part = isPart
    ? [`Frames ${tracked.start} to ${tracked.end - 1}: those that are tracked.`]
    : [];
  const film = format.inColors && project.color?.result ? inColors(project) : [];
  const names = (items: Item[]) => items.map(({ name }) => name).join(", ");
  const hidden = project.objects.filter((item) => !item.visible);
  const others = project.objects.filter(
    (item) => item.visible && format.kinds.length > 0 && !format.kinds.includes(item.kind),
  );
  return [
    ...part,
    ...film,
    ...(hidden.length ? [`Without ${names(hidden)}: hidden.`] : []),
    ...(others.length
      ? [`Without ${names(others)}: ${format.title} is for ${kindsOf(format)}.`]
      : []),
  ];
}

/** Whether lines are drawn on the film, which can say that they are doubtful. */
export const isDrawn = ({ name }: Format) => ["overlay", "outlines", "paths"].includes(name);

/** Whether things are cut out of the film, where doubt cannot be drawn. */
export const isCutOut = ({ name }: Format) => name.startsWith("cutout");

/** So many stretches of frames are named; of more, it is said how many frames they are. */
const NAMED = 3;

function framesOf(flags: boolean[], start: number): string {
  const stretches = stretchesOf(flags, start);
  if (stretches.length > NAMED) return `${flags.filter(Boolean).length} frames`;
  const [first, ...more] = stretches.map(named);
  const rest = more.map((one) => one.replace(/^frames? /, ""));
  const several = rest.length ? first!.replace(/^frame /, "frames ") : first!;
  return [several, ...rest].join(", ");
}

/** In words: where tracks that are shown are doubtful, and how that is drawn; null: nowhere. */
export function doubtLine(project: Project, format: Format, marked: boolean): string | null {
  const { result } = project;
  const cut = isCutOut(format);
  if (!result || (!cut && !isDrawn(format))) return null;
  const shown = project.objects.filter(({ kind }) => !cut || kind === "object");
  const told = shown.flatMap((item) => {
    const below = result.doubtfulBelow[item.kind] ?? 0;
    const sure = item.visible ? unsettled(project, item) : [];
    const drawn = (at: number) => item.kind === "box" || result.present[item.key]?.[at] !== false;
    const bad = sure.map((one, at) => one !== null && one < below && drawn(at));
    return bad.includes(true) ? [`${item.name} on ${framesOf(bad, result.start)}`] : [];
  });
  if (!told.length) return null;
  const where = `Doubtful: ${told.join("; ")}`;
  if (cut) return `${where}, and cut out there as if it were sure.`;
  return marked
    ? `${where}. Lines are dashed there, with a "?" at the name.`
    : `${where}, and drawn there as if it were sure.`;
}

/** In words: where objects that are shown are not found, and so not drawn; null: nowhere. */
export function missingLine(project: Project, format: Format): string | null {
  const { result } = project;
  if (!result || !(isCutOut(format) || isDrawn(format))) return null;
  const told = project.objects.flatMap((item) => {
    const known = item.visible && item.kind === "object" ? result.present[item.key] : undefined;
    const said = (at: number) => markOf(marksOn(project, result.start + at), item) === "gone";
    const lost = known?.map((there, at) => there === false && !said(at)) ?? [];
    return lost.includes(true) ? [`${item.name} on ${framesOf(lost, result.start)}`] : [];
  });
  return told.length ? `Not found, and not shown: ${told.join("; ")}.` : null;
}

/** In words: it is in the film's colours, and how many of its frames have none. */
function inColors({ color, result }: Project): string[] {
  const [sure, tracked] = [color?.result, result];
  if (!sure || !tracked) return [];
  let bare = 0;
  for (let frame = tracked.start; frame < tracked.end; frame++) {
    const known = frame >= sure.start && frame < sure.end;
    if (!known || sure.reliability?.[frame - sure.start] === null) bare += 1;
  }
  if (bare === tracked.end - tracked.start) return ["None of its frames has colours yet."];
  return [`In the film's colours${bare ? `; ${bare} frames have none yet` : ""}.`];
}

const kindsOf = (format: Format) => format.kinds.map((kind) => KINDS[kind] ?? kind).join(" and ");

/** In words: what is exported is older than what is marked or painted; null: it is not. */
export function outOfDate(project: Project, format: Format): string | null {
  if (format.kinds.includes("color")) {
    const result = project.color?.result;
    if (!result?.stale) return null;
    const known = result.reliability;
    const bare = (frame: number) => known?.[frame - result.start] == null;
    const none =
      known &&
      result.staleRanges.every(([from, to]) =>
        Array.from({ length: to - from }, (_, n) => from + n).every(bare),
      );
    return none
      ? `${stretches(result.staleRanges, true)} have no colours yet. Press Colour before you export, to have them.`
      : `The colours of ${stretches(result.staleRanges)} are older than what you painted. Press Colour before you export, to have the new ones.`;
  }
  if (format.kinds.includes("texture")) return null;
  const result = project.result;
  if (!result?.next) return null;
  if (result.next === "rest") {
    return `It is tracked up to frame ${result.end - 1} only. Press Track before you export, to have the rest.`;
  }
  const which =
    result.next === "span" && result.stale.length ? ` on ${stretches(result.stale)}` : "";
  return `Marks have changed since it was tracked${which}. Press Track before you export, to have them.`;
}

function stretches(given: Stretch[], begins = false): string {
  const all = merged(given);
  const text = all.length === 1 ? named(all[0]!) : `${all.length} stretches`;
  return begins ? text[0]!.toUpperCase() + text.slice(1) : text;
}
