import { useRef, useState } from "preact/hooks";
import { addThing, clearMark, gone } from "../commands.ts";
import { isGone } from "../core/settled.ts";
import { type Item, type Kind, markOf, type Project, trackedAs } from "../core/state.ts";
import { firstStep, SAID } from "../core/words.ts";
import { addPicture } from "../pictures.ts";
import { isLost, shapeOf } from "../shapes.ts";
import * as store from "../store.ts";
import { say } from "../words.ts";
import { Icon, type IconName } from "./icons.tsx";
import { IconButton, Menu, type MenuEntry } from "./parts.tsx";

const KINDS: { kind: Kind; text: string }[] = [
  { kind: "object", text: "Object" },
  { kind: "point", text: "Point" },
  { kind: "box", text: "Box" },
  { kind: "keypoints", text: "Skeleton" },
];

const KIND_ICON: Record<Kind, IconName> = {
  object: "mark",
  point: "point",
  box: "box",
  keypoints: "skeleton",
};

function NameField({ item, onDone }: { item: Item; onDone: () => void }) {
  const save = (text: string) => {
    onDone();
    const name = text.trim();
    if (name && name !== item.name) void store.act({ type: "change", key: item.key, name });
  };
  return (
    <input
      class="name-field"
      aria-label="Name"
      value={item.name}
      maxLength={80}
      ref={(field) => {
        if (field && document.activeElement !== field) {
          field.focus();
          field.select();
        }
      }}
      onBlur={(event) => save(event.currentTarget.value)}
      onKeyDown={(event) => {
        if (event.key === "Enter") event.currentTarget.blur();
        if (event.key === "Escape") onDone();
        event.stopPropagation();
      }}
    />
  );
}

function Row({ item, number }: { item: Item; number: number }) {
  const [naming, setNaming] = useState(false);
  const picked = store.picked.value === item.key;
  const others = store.project.value!.objects.filter(
    (one) => one.kind === item.kind && one.key !== item.key,
  );
  const change = (what: Partial<Item>) => store.act({ type: "change", key: item.key, ...what });
  const remove = async () => {
    const { good } = await store.act({ type: "remove", key: item.key });
    const kept = item.kind === "object" && others.length > 0;
    const more = kept ? ". Its places are no other object's: Undo and Merge gives them to one" : "";
    if (good) store.say(`${item.name} is removed${more}`);
  };
  const entries: MenuEntry[] = [
    { text: "Rename", run: () => setNaming(true) },
    ...others.map((one) => ({
      text: `Merge into ${one.name}`,
      run: () => void store.act({ type: "merge", from: item.key, into: one.key }),
    })),
    "line",
    {
      text: "Remove",
      danger: true,
      run: () => void remove(),
    },
  ];
  return (
    <li class={`object ${picked ? "picked" : ""} ${item.visible ? "" : "faint"}`}>
      <label class="swatch" style={{ background: item.color }} title="Colour">
        <input
          type="color"
          value={item.color}
          aria-label={`Colour of ${item.name}`}
          onChange={(event) => void change({ color: event.currentTarget.value })}
        />
      </label>
      {naming ? (
        <NameField item={item} onDone={() => setNaming(false)} />
      ) : (
        <button
          type="button"
          class="object-name"
          aria-pressed={picked}
          title={`${item.name}. ${say(SAID.rename)}`}
          onClick={() => {
            store.picked.value = item.key;
          }}
          onDblClick={() => setNaming(true)}
        >
          <span class="text">{item.name}</span>
          {item.kind !== "object" && <Icon name={KIND_ICON[item.kind]} size={14} />}
          {number <= 9 && <kbd>{number}</kbd>}
        </button>
      )}
      <IconButton
        icon={item.visible ? "eye" : "hidden"}
        label={item.visible ? `Hide ${item.name}` : `Show ${item.name}`}
        size={16}
        class={item.visible ? "quiet" : ""}
        onClick={() => void change({ visible: !item.visible })}
      />
      <IconButton
        icon={item.locked ? "locked" : "open"}
        label={item.locked ? `Unlock ${item.name}` : `Lock ${item.name}`}
        size={16}
        class={item.locked ? "" : "quiet"}
        onClick={() => void change({ locked: !item.locked })}
      />
      <Menu
        label={`More for ${item.name}`}
        entries={entries}
        side="right"
        class="icon-button quiet"
      >
        <Icon name="more" size={16} />
      </Menu>
    </li>
  );
}

/** What to begin with, by the tool in hand. */
function noneYet(tool: string): string {
  const first = firstStep(tool);
  return first === SAID.firstStep ? say(SAID.noObjects) : `None yet. ${say(first)}.`;
}

export function Objects() {
  const items = store.project.value!.objects;
  const file = useRef<HTMLInputElement>(null);
  const textures = store.project.value!.textures;
  const entries: MenuEntry[] = KINDS.map(({ kind, text }) => ({
    text,
    run: () => void addThing(kind),
  }));
  if (textures) entries.push({ text: "A picture on the video", run: () => file.current?.click() });
  return (
    <section class="panel objects" aria-labelledby="objects-title">
      <header>
        <h2 id="objects-title">Objects</h2>
        <Menu label="Add" entries={entries} side="right" class="button small">
          <Icon name="add" size={14} /> Add
        </Menu>
      </header>
      <input
        ref={file}
        class="sr-only"
        type="file"
        accept="image/*"
        aria-label="Choose a picture to place on the video"
        tabIndex={-1}
        onChange={(event) => {
          void addPicture(event.currentTarget.files?.[0]);
          event.currentTarget.value = "";
        }}
      />
      {Boolean(textures?.length) && (
        <ul class="pictures" aria-label="Pictures">
          {textures!.map((one) => (
            <li key={one.key} class="object">
              <button
                type="button"
                class="object-name"
                title={`${one.name}: placed on frame ${one.frame}`}
                onClick={() => {
                  store.goTo(one.frame);
                  store.tool.value = "picture";
                }}
              >
                <Icon name="film" size={16} />
                <span class="text">{one.name}</span>
                <span class="muted">frame {one.frame}</span>
              </button>
              <IconButton
                icon="close"
                label={`Take ${one.name} away`}
                size={14}
                class="quiet"
                onClick={() => void store.act({ type: "textureRemove", id: one.id })}
              />
            </li>
          ))}
        </ul>
      )}
      {items.length ? (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a list that scrolls must take the focus
        <ul class="object-list" tabIndex={0} aria-label="Objects">
          {items.map((item, n) => (
            <Row key={item.key} item={item} number={n + 1} />
          ))}
        </ul>
      ) : (
        <p class="empty">{noneYet(store.tool.value)}</p>
      )}
    </section>
  );
}

function nothingSaid(): string {
  if (store.sending.value) return "Saving ...";
  return store.job.value?.kind === "track" ? "Being tracked ..." : "Nothing is marked here.";
}

/** What the tracker says of a thing that is not marked on a frame; null: nothing. */
function tracked(project: Project, item: Item, frame: number) {
  const [marks, tracks] = [store.marks.value, store.tracks.value];
  const said = trackedAs(project, item, frame);
  if (isGone(project, item, frame)) return "gone";
  if (!isLost(item, marks, tracks, frame, project.video)) return said;
  const isSomewhere = shapeOf(item, marks, tracks, frame, project.video) !== null;
  return said === "hidden" && isSomewhere ? said : "lost";
}

const MEANT: Record<string, string | undefined> = {
  doubtful: "The track may be wrong on this frame",
  hidden: "Not seen on this frame; the track says where it likely is",
  lost: "The track does not find it on this frame",
  guessed: "Not seen on this frame, and the place that is drawn may be wrong",
};

/** What a word about a thing means on a frame; one that is lost may be drawn where it may be. */
function meant(project: Project, item: Item, what: string): string | undefined {
  const [marks, tracks, frame] = [store.marks.value, store.tracks.value, store.frame.value];
  const isDrawn = item.kind !== "object" && what === "lost";
  const shape = isDrawn ? shapeOf(item, marks, tracks, frame, project.video) : null;
  return MEANT[shape ? "guessed" : what];
}

export function FrameMarks() {
  const project = store.project.value!;
  const marks = store.marks.value;
  const picked = store.pickedItem.value;
  const said = project.objects.flatMap((item) => {
    const mark = markOf(marks, item);
    const now = store.frame.value;
    const what = mark ?? tracked(project, item, now);
    return what ? [{ item, what, mark }] : [];
  });
  const pickedSaid = said.find((one) => one.item.key === picked?.key);
  return (
    <section class="panel frame-marks" aria-labelledby="marks-title">
      <header>
        <h2 id="marks-title">On frame {store.frame.value}</h2>
      </header>
      {said.length ? (
        <ul>
          {said.map(({ item, what, mark }) => (
            <li key={item.key}>
              <span class="dot" style={{ background: item.color }} />
              <span class="text">{item.name}</span>
              <span class={`tag ${what.replace(" ", "-")}`} title={meant(project, item, what)}>
                {what}
              </span>
              {mark !== null && (
                <IconButton
                  icon="close"
                  label={`Clear ${item.name} on this frame`}
                  size={14}
                  class="quiet"
                  onClick={() =>
                    void store.act({ type: "clear", key: item.key, frame: store.frame.value })
                  }
                />
              )}
            </li>
          ))}
        </ul>
      ) : (
        <p class="empty">{nothingSaid()}</p>
      )}
      <footer>
        <button
          type="button"
          class="button small"
          disabled={!picked || picked.locked || pickedSaid?.mark === "gone"}
          title="The object is not to be seen on this frame (G)"
          onClick={gone}
        >
          Gone here
        </button>
        <button
          type="button"
          class="button small"
          disabled={!pickedSaid?.mark}
          title="Take this frame's mark away (Delete)"
          onClick={clearMark}
        >
          Clear mark
        </button>
      </footer>
    </section>
  );
}
