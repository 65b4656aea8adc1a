// Skeletons to begin with, and the text form in which a person writes one.

export type Skeleton = { title: string; joints: string[]; edges: [number, number][] };

function named(title: string, joints: string[], bones: string[]): Skeleton {
  const edges = bones.map((bone): [number, number] => {
    const [a, b] = bone.split(" - ").map((name) => joints.indexOf(name));
    return [a!, b!];
  });
  return { title, joints, edges };
}

const person = named(
  "Person (17)",
  [
    ...["nose", "left eye", "right eye", "left ear", "right ear"],
    ...["left shoulder", "right shoulder", "left elbow", "right elbow", "left wrist"],
    ...["right wrist", "left hip", "right hip", "left knee", "right knee"],
    ...["left ankle", "right ankle"],
  ],
  [
    ...["nose - left eye", "nose - right eye", "left eye - left ear", "right eye - right ear"],
    ...["left shoulder - right shoulder", "left shoulder - left elbow", "left elbow - left wrist"],
    ...["right shoulder - right elbow", "right elbow - right wrist", "left hip - right hip"],
    ...["left shoulder - left hip", "right shoulder - right hip", "left hip - left knee"],
    ...["left knee - left ankle", "right hip - right knee", "right knee - right ankle"],
  ],
);

const quadruped = named(
  "Four legs (13)",
  [
    ...["nose", "neck", "back", "tail base", "tail tip"],
    ...["left front knee", "left front paw", "right front knee", "right front paw"],
    ...["left hind knee", "left hind paw", "right hind knee", "right hind paw"],
  ],
  [
    ...["nose - neck", "neck - back", "back - tail base", "tail base - tail tip"],
    ...["neck - left front knee", "left front knee - left front paw"],
    ...["neck - right front knee", "right front knee - right front paw"],
    ...["tail base - left hind knee", "left hind knee - left hind paw"],
    ...["tail base - right hind knee", "right hind knee - right hind paw"],
  ],
);

const fingers = ["thumb", "index", "middle", "ring", "little"];
const hand = named(
  "Hand (21)",
  ["wrist", ...fingers.flatMap((finger) => [1, 2, 3, 4].map((n) => `${finger} ${n}`))],
  fingers.flatMap((finger) => [
    `wrist - ${finger} 1`,
    ...[1, 2, 3].map((n) => `${finger} ${n} - ${finger} ${n + 1}`),
  ]),
);

const KEY = "studio.skeleton";

/** All templates by their short name; "own" where the person has written one. */
export function templates(): Record<string, Skeleton> {
  const all: Record<string, Skeleton> = { person, quadruped, hand };
  try {
    const text = localStorage.getItem(KEY);
    if (text) all.own = parseSkeleton(text);
  } catch {
    // No storage, or a text that is no skeleton any more: the built-in ones remain.
  }
  return all;
}

export function saveOwn(text: string) {
  parseSkeleton(text);
  localStorage.setItem(KEY, text);
}

/** One joint a line; "name: other, other" also draws lines from it to joints named above. */
export function parseSkeleton(text: string): Skeleton {
  const joints: string[] = [];
  const edges: [number, number][] = [];
  for (const line of text.split("\n").map((one) => one.trim())) {
    if (!line) continue;
    const [name = "", others = ""] = line.split(":").map((part) => part.trim());
    if (!name) throw new Error(`No joint name in "${line}"`);
    if (joints.includes(name)) throw new Error(`"${name}" is there twice`);
    for (const other of others.split(",").map((part) => part.trim())) {
      if (!other) continue;
      const from = joints.indexOf(other);
      if (from < 0) throw new Error(`"${other}" must stand above "${name}"`);
      edges.push([from, joints.length]);
    }
    joints.push(name);
  }
  if (!joints.length) throw new Error("Write one joint a line");
  return { title: `Own (${joints.length})`, joints, edges };
}

export function skeletonText({ joints, edges }: Skeleton): string {
  return joints
    .map((name, i) => {
      const others = edges
        .filter(([a, b]) => Math.max(a, b) === i)
        .map(([a, b]) => joints[Math.min(a, b)]);
      return others.length ? `${name}: ${others.join(", ")}` : name;
    })
    .join("\n");
}
