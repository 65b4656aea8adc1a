import { api } from "../api.ts";
import { colorize, redo as redoLast, stop, track, undo as undoLast } from "../commands.ts";
import { colorLabel } from "../core/color.ts";
import { timeLeft } from "../core/pace.ts";
import {
  canExport,
  type Job,
  markedFrames,
  type Project,
  type Quality,
  trackLabel,
} from "../core/state.ts";
import { HOLD } from "../core/words.ts";
import * as store from "../store.ts";
import { startsOver } from "../tools/over.ts";
import { canRedo, pending } from "../tools/select.ts";
import { ColorViews } from "./Color.tsx";
import { Icon } from "./icons.tsx";
import { IconButton, Menu, type MenuEntry } from "./parts.tsx";

export const VIEWS: { name: store.ViewMode; text: string; title: string }[] = [
  { name: "overlay", text: "Overlay", title: "Colours over the picture" },
  { name: "outline", text: "Outline", title: "Outlines only" },
  { name: "solid", text: "Solid", title: "Full colours" },
  { name: "cutout", text: "Cut-out", title: "The objects alone" },
  { name: "trails", text: "Trails", title: "Where things came from" },
  { name: "pointer", text: "Pointer", title: "Point at a place: where does it copy from?" },
];

const QUALITIES: [Quality, string][] = [
  ["fast", "Fast"],
  ["normal", "Normal"],
  ["best", "Best"],
];

export function ThemeButton() {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  // The first press changes what is seen.
  const next = dark
    ? ({ auto: "light", light: "dark", dark: "auto" } as const)
    : ({ auto: "dark", dark: "light", light: "auto" } as const);
  const icon = { auto: "auto", light: "sun", dark: "moon" } as const;
  const now = store.theme.value in next ? store.theme.value : "auto";
  return (
    <IconButton
      icon={icon[now]}
      label={`Light or dark: ${now === "auto" ? "as the system" : now}`}
      onClick={() => {
        store.theme.value = next[now];
      }}
    />
  );
}

function projectMenu(): MenuEntry[] {
  const canCopy = store.project.value?.video.copied === false;
  const copy: MenuEntry = {
    text: "Copy the video into the project",
    run: () => void store.attempt(() => api.copyVideo()),
  };
  return [
    {
      text: "Open something else",
      run: () => void store.openWith("Closing", () => api.close()),
    },
    {
      text: "Run on other videos",
      run: () => {
        store.dialog.value = "batch";
      },
    },
    ...(canCopy ? [copy] : []),
  ];
}

/** Frames are looked at more than once, forth and back: how many of them says little. */
const inWords = (job: Job, share: number) =>
  job.kind === "track" || job.kind === "color"
    ? `${Math.floor(100 * share)} %`
    : `${job.done} of ${job.total}`;

function TrackGroup() {
  const job = store.job.value;
  const project = store.project.value;
  if (job) {
    const share = job.total ? Math.min(1, job.done / job.total) : 0;
    const words = {
      track: "Tracking",
      export: "Writing",
      select: "Selecting",
      color: "Colouring",
      copy: "Copying",
    };
    const word = job.message || (words[job.kind as keyof typeof words] ?? "Working");
    return (
      <div class="track-group">
        <button type="button" class="button stop" onClick={() => void stop()}>
          <span class="stop-square" aria-hidden="true" /> Stop
        </button>
        <div class="progress-text" role="status">
          <span>
            {word}
            {job.total ? ` ${inWords(job, share)}` : ""}
          </span>
          <progress aria-label={word} max={1} value={job.total ? share : undefined} />
          <span class="time-left">{timeLeft(store.pace.value, job, performance.now())}</span>
        </div>
      </div>
    );
  }
  const coloring = store.mode.value === "color";
  const label = coloring && project ? colorLabel(project) : trackLabel(project);
  const onTrial = !coloring && pending.value;
  const isHeld = !coloring && !onTrial && project?.result?.next === "held"; // it may well stay so
  const { text, ready } = onTrial ? { text: "Track", ready: true } : label;
  const done = text.startsWith("Tracked") || text === "Coloured";
  return (
    <div class="track-group">
      <button
        type="button"
        class={ready && !isHeld ? "button primary" : "button"}
        onClick={() => void (coloring ? colorize() : track())}
        disabled={!ready}
        title={
          coloring && project
            ? `${colorLabel(project).why}${ready ? " (T)" : ""}`
            : trackTitle(project, ready)
        }
      >
        {done && <Icon name="done" size={16} />}
        {text}
      </button>
    </div>
  );
}

function trackTitle(project: Project | null, ready: boolean): string {
  const next = project?.result?.next;
  if (ready && next === "held") {
    return "Track too what the correction left as it was (T). Leave it, and it stays so";
  }
  if (ready && next === "span") return `Track (T). ${HOLD}`;
  if (ready) return "Track (T)";
  if (!project?.result || !markedFrames(project).length) return "Mark an object first";
  if (!project.result.stale.length || !project.settings.range) return "Nothing has changed since";
  return `"Only this part" is on: marks outside of it wait`;
}

function whyNoExport(): string {
  const coloring = store.mode.value === "color";
  if (store.job.value) return `Once it is ${coloring ? "coloured" : "tracked"}, or stopped`;
  return coloring ? "Colour first" : "Track first";
}

function Views() {
  return (
    <>
      <fieldset class="segments" aria-label="View">
        {VIEWS.map(({ name, text, title }) => (
          <button
            key={name}
            type="button"
            title={title}
            aria-pressed={store.viewMode.value === name}
            onClick={() => {
              store.viewMode.value = name;
            }}
          >
            {text}
          </button>
        ))}
      </fieldset>
      <label class="named-select views">
        <span aria-hidden="true">View</span>
        <select
          class="select"
          aria-label="View"
          value={store.viewMode.value}
          onChange={(event) => {
            store.viewMode.value = event.currentTarget.value as store.ViewMode;
          }}
        >
          {VIEWS.map(({ name, text }) => (
            <option key={name} value={name}>
              {text}
            </option>
          ))}
        </select>
      </label>
    </>
  );
}

const MODES = [
  ["track", "Objects"],
  ["color", "Colours"],
] as const;

/** What is done with the clip: objects tracked, or a grey film coloured. */
function ModeSwitch() {
  return (
    <fieldset class="segments small" aria-label="What to do">
      {MODES.map(([name, text]) => (
        <button
          key={name}
          type="button"
          aria-pressed={store.mode.value === name}
          onClick={() => {
            store.mode.value = name;
          }}
        >
          {text}
        </button>
      ))}
    </fieldset>
  );
}

export function TopBar() {
  const project = store.project.value!;
  const { undo, redo } = project.undo;
  const begun = pending.value ? "the last click" : startsOver.value ? "Start over" : null;
  return (
    <header class="topbar">
      <div class="topbar-left">
        <Logo />
        <h1 class="sr-only">{project.name}</h1>
        <Menu
          label={`Project ${project.name}`}
          title={`All that is done is saved at once, in ${project.path ?? project.folder}`}
          class="project-name"
          entries={projectMenu()}
        >
          <span>{project.name}</span>
          <Icon name="chevron" size={16} />
        </Menu>
        {project.color && <ModeSwitch />}
        <IconButton
          icon="undo"
          label={begun ? `Undo: ${begun}` : undo ? `Undo: ${undo}` : "Undo"}
          keys="Ctrl+Z"
          disabled={!undo && !begun}
          onClick={() => void undoLast()}
        />
        <IconButton
          icon="redo"
          label={redo ? `Redo: ${redo}` : "Redo"}
          keys="Ctrl+Shift+Z"
          disabled={!redo && !canRedo.value}
          onClick={() => void redoLast()}
        />
      </div>
      <TrackGroup />
      <div class="topbar-right">
        {store.mode.value === "color" && <ColorViews />}
        {store.mode.value === "track" && <Views />}
        {store.mode.value === "track" && (
          <label class="named-select">
            <span aria-hidden="true">Quality</span>
            <select
              class="select"
              aria-label="Quality"
              title="Quality: better takes longer"
              value={project.settings.quality}
              onChange={(event) =>
                void store.act({ type: "settings", quality: event.currentTarget.value })
              }
            >
              {QUALITIES.map(([name, text]) => (
                <option key={name} value={name}>
                  {text}
                </option>
              ))}
            </select>
          </label>
        )}
        <button
          type="button"
          class="button"
          disabled={!canExport(project)}
          title={canExport(project) ? "Export (Ctrl+E)" : whyNoExport()}
          onClick={() => {
            store.exported.value = null;
            store.dialog.value = "export";
          }}
        >
          <Icon name="export" size={16} /> Export
        </button>
        <ThemeButton />
        <IconButton
          icon="help"
          label="Keys"
          keys="?"
          onClick={() => {
            store.dialog.value = "help";
          }}
        />
      </div>
    </header>
  );
}

export function Logo() {
  return (
    <svg class="logo" width="24" height="24" viewBox="0 0 24 24" aria-hidden="true">
      <rect x="1" y="1" width="22" height="22" rx="6" />
      <circle cx="8.5" cy="12" r="4" />
      <circle cx="15.5" cy="12" r="4" />
    </svg>
  );
}
