import { useEffect, useRef, useState } from "preact/hooks";
import { api } from "../api.ts";
import { stop } from "../commands.ts";
import {
  doubtLine,
  filesLine,
  fits,
  grouped,
  isDrawn,
  leftOut,
  likeliest,
  missingLine,
  outOfDate,
  type Place,
  parted,
  placeLine,
  whyNot,
} from "../core/formats.ts";
import { turned } from "../core/preview.ts";
import type { Format } from "../core/state.ts";
import * as store from "../store.ts";
import { Icon } from "./icons.tsx";
import { Dialog } from "./parts.tsx";

type Preview = { text?: string; image?: string; error?: string };

function PreviewPane({ format, markDoubtful }: { format: string; markDoubtful: boolean }) {
  const [preview, setPreview] = useState<Preview | null>(null);
  useEffect(() => {
    const controller = new AbortController();
    setPreview(null);
    api
      .exportPreview(format, store.frame.peek(), markDoubtful, controller.signal)
      .then(setPreview, (error: Error) => {
        if (error.name !== "AbortError") setPreview({ error: error.message });
      });
    return () => controller.abort();
  }, [format, markDoubtful]);
  useEffect(
    () => () => {
      if (preview?.image) URL.revokeObjectURL(preview.image);
    },
    [preview],
  );
  const upright = turned(preview?.text ?? "");
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must take the focus
    <section class="preview" aria-label="Preview" tabIndex={0}>
      {!preview && <p class="empty">Looking ...</p>}
      {preview?.error && <p class="empty">{preview.error}</p>}
      {preview?.image && <img src={preview.image} alt="One frame of what is written" />}
      {upright && <p class="preview-note">The first rows of the table, each shown as a column:</p>}
      {preview?.text !== undefined && <pre>{upright ?? preview.text}</pre>}
    </section>
  );
}

function FormatList(props: {
  formats: Format[];
  chosen: string;
  why: (format: Format) => string | null;
  choose: (name: string) => void;
  /** Told whether nothing is called as what was typed. */
  onLost: (lost: boolean) => void;
}) {
  const { formats, chosen, why, choose, onLost } = props;
  const [typed, setTyped] = useState("");
  const list = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const shown = requestAnimationFrame(() => {
      const row = list.current?.querySelector(":checked")?.closest(".format");
      row?.scrollIntoView({ block: "nearest" });
    }); // once the dialog is there
    return () => cancelAnimationFrame(shown);
  }, [chosen, typed]);
  const groups = grouped(formats, typed, chosen);
  /** What is chosen is always one that was asked for. */
  const find = (wanted: string) => {
    setTyped(wanted);
    onLost(!formats.some((format) => fits(format, wanted)));
    const fitting = formats.filter((format) => fits(format, wanted) && !why(format));
    const meant = likeliest(fitting, wanted);
    if (meant && !fitting.some(({ name }) => name === chosen)) choose(meant.name);
  };
  return (
    <div class="format-side">
      <input
        class="format-filter"
        type="search"
        aria-label="Find a format"
        placeholder="Find a format"
        spellcheck={false}
        value={typed}
        onInput={(event) => find(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key !== "Escape" || !typed) return;
          find("");
          event.preventDefault();
        }}
      />
      <div class="formats" role="radiogroup" aria-label="Format" ref={list}>
        {groups.map(({ title, formats: listed }) => (
          <fieldset key={title}>
            <legend>{title}</legend>
            {listed.map((format) => {
              const reason = why(format);
              return (
                <label
                  key={format.name}
                  class={reason ? "format off" : "format"}
                  title={`chromatrack export: ${format.name}`}
                >
                  <input
                    type="radio"
                    name="format"
                    checked={format.name === chosen}
                    disabled={Boolean(reason)}
                    onChange={() => choose(format.name)}
                  />
                  <span class="format-name">{format.title}</span>
                  <span class="format-tool">{reason ?? format.tool}</span>
                </label>
              );
            })}
          </fieldset>
        ))}
        {!formats.some((format) => fits(format, typed)) && (
          <p class="empty">
            Nothing else is called “{typed.trim()}”: try a tool or an ending, as csv
          </p>
        )}
      </div>
    </div>
  );
}

const BUSY: Record<string, string> = {
  track: "Tracking is under way",
  color: "Colouring is under way",
  copy: "The video is being copied",
};

/** What became of it: how far it is, or where the file is. */
function Outcome({ done }: { done: typeof store.exported.value }) {
  const [copied, setCopied] = useState("");
  const job = store.job.value;
  if (job?.kind === "export") {
    return (
      <div class="outcome">
        <p role="status">Writing {job.total ? `${job.done} of ${job.total}` : "..."}</p>
        <button type="button" class="button small" onClick={() => void stop()}>
          Stop
        </button>
      </div>
    );
  }
  if (job) {
    return (
      <p role="status" class="outcome">
        {BUSY[job.kind] ?? "Something else is under way"}: export once it has ended, or is stopped.
      </p>
    );
  }
  const path = done?.path;
  if (!path) {
    return (
      <p role="status" class="outcome">
        {done?.message || `It goes to ${store.project.value?.path ?? "the project"}/exports`}
      </p>
    );
  }
  const [folders, file] = parted(path);
  const copy = () =>
    store.attempt(async () => {
      await navigator.clipboard.writeText(path);
      setCopied(path);
    });
  return (
    <div class="outcome">
      <p role="status" class="saved" title={path}>
        <Icon name="done" size={16} /> Saved as
        <span class="saved-path">
          <span class="folders">{folders}</span>
          <span class="file">{file}</span>
        </span>
      </p>
      <button type="button" class="button small" title="Copy the path" onClick={() => void copy()}>
        {copied === path ? "Copied" : "Copy"}
      </button>
      {done?.download && (
        <a class="button small" href={done.download} download>
          Download
        </a>
      )}
    </div>
  );
}

/** What is there already where a format goes; null till that is known. */
function usePlace(format: string): Place | null {
  const [known, setKnown] = useState<{ format: string; place: Place } | null>(null);
  const isFree = !store.job.value; // looked up again when something was written
  useEffect(() => {
    let wanted = true;
    const tell = (place: Place) => wanted && setKnown({ format, place });
    if (isFree) api.exportPlace(format).then(tell, () => {}); // the server replaces nothing unasked
    return () => {
      wanted = false;
    };
  }, [format, isFree]);
  return known?.format === format ? known.place : null;
}

export function ExportDialog() {
  const project = store.project.value!;
  const kinds = new Set<string>(project.objects.map((item) => item.kind));
  if (project.color?.result) kinds.add("color");
  if (project.textures?.length) kinds.add("texture");
  const formats = store.state.value!.app.formats;
  const why = (format: Format) => whyNot(format, kinds, Boolean(project.result));
  const fitting = formats.filter((format) => !why(format));
  const coloring = store.mode.value === "color" && fitting.some(({ name }) => name === "coloured");
  const usual = coloring ? "coloured" : (fitting[0]?.name ?? "overlay");
  const last = store.exportedAs.value; // of this visit
  const [name, setName] = useState(fitting.some((one) => one.name === last) ? last! : usual);
  const [first, setFirst] = useState("");
  const [lost, setLost] = useState(false);
  const markDoubtful = store.markDoubtful.value === "yes";
  const place = usePlace(name);
  const taken = place && !store.job.value && placeLine(place, new Date());
  const chosen = formats.find((format) => format.name === name);
  const old = chosen ? outOfDate(project, chosen) : null;
  const doubts = chosen ? doubtLine(project, chosen, markDoubtful) : null;
  const missing = chosen ? missingLine(project, chosen) : null;
  const isOfThis = store.exportedAs.value === name; // another was chosen while it was written
  const done = store.job.value || !isOfThis ? null : store.exported.value;
  const notes = [
    ...(old && !store.job.value ? [old] : []),
    ...(place && !done ? filesLine(place) : []),
    ...(doubts ? [doubts] : []),
    ...(missing ? [missing] : []),
    ...(done?.notes ?? (chosen ? leftOut(project, chosen) : [])),
    ...(chosen?.about ? [chosen.about] : []),
  ];
  const isNumbered = chosen?.group !== "Video" || name === "frames";
  const close = () => {
    store.dialog.value = null;
  };
  const choose = (wanted: string) => {
    setName(wanted);
    store.exported.value = null;
  };
  const write = async (existing?: "keep" | "replace") => {
    store.exported.value = null;
    store.exportedAs.value = name;
    const numbered = first !== "" && isNumbered;
    const startNumber = numbered ? { startNumber: Number(first) } : {};
    await store.attempt(async () => {
      await api.export({
        format: name,
        markDoubtful,
        ...startNumber,
        ...(existing ? { existing } : {}),
      });
      await store.refresh();
    });
  };
  return (
    <Dialog title="Export" wide onClose={close}>
      <div class="export">
        <FormatList formats={formats} chosen={name} why={why} choose={choose} onLost={setLost} />
        <PreviewPane format={name} markDoubtful={markDoubtful} />
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must take the focus */}
      <section class="notes" aria-label="Notes" tabIndex={0}>
        {notes.map((note) => (
          <p class="note" key={note} role="status">
            {note}
          </p>
        ))}
      </section>
      <Outcome done={done} />
      <footer>
        {isNumbered && (
          <label
            class="option"
            title="The number that the first frame gets in the files; left empty: as the format's other tools count"
          >
            Number of the first frame
            <input
              class="number"
              type="number"
              min={0}
              placeholder="auto"
              value={first}
              onInput={(event) => setFirst(event.currentTarget.value)}
            />
          </label>
        )}
        {doubts && chosen && isDrawn(chosen) && (
          <label
            class="option"
            title="Dashed lines, and a ? at the name, where a track is doubtful"
          >
            <input
              type="checkbox"
              checked={markDoubtful}
              onChange={(event) => {
                store.markDoubtful.value = event.currentTarget.checked ? "yes" : "no";
              }}
            />
            Mark doubtful frames
          </label>
        )}
        <span class="spacer" />
        {taken && place && (
          <>
            <p class="taken" role="status">
              {taken}
            </p>
            <button
              type="button"
              class="button"
              title={`The new one goes to ${place.free}; ${place.name} stays`}
              disabled={lost}
              onClick={() => void write("keep")}
            >
              Keep both
            </button>
          </>
        )}
        <button
          type="button"
          class="button primary"
          title={taken && place ? `The new one takes the place of ${place.name}` : undefined}
          disabled={lost || Boolean(store.job.value)}
          onClick={() => void write(taken ? "replace" : undefined)}
        >
          {taken ? "Replace it" : "Export"}
        </button>
      </footer>
    </Dialog>
  );
}
