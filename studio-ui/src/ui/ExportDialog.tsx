import { Fragment } from "preact";
import { useEffect, useState } from "preact/hooks";
import { api } from "../api.ts";
import type { Format } from "../core/state.ts";
import * as store from "../store.ts";
import { Icon } from "./icons.tsx";
import { Dialog } from "./parts.tsx";

/** What most people want first, by the name a person gives it. */
const VIDEOS: Record<string, { title: string; tool: string }> = {
  overlay: { title: "Video with the tracks on it", tool: "MP4, plays anywhere" },
  cutout: { title: "Cut-out", tool: "The objects alone, the rest transparent" },
  coloured: { title: "Coloured video", tool: "MP4, with the sound" },
  textured: { title: "Video with the picture on it", tool: "MP4, with the sound" },
};

type Preview = { text?: string; image?: string; error?: string };

function why(format: Format, kinds: Set<string>, tracked: boolean): string | null {
  if (!format.available) return format.extra ? `needs chromatrack[${format.extra}]` : "not here";
  if (format.kinds.length && !format.kinds.some((kind) => kinds.has(kind))) {
    const names: Record<string, string> = {
      object: "objects",
      keypoints: "skeletons",
      box: "boxes",
      color: "coloured clips",
      texture: "placed pictures",
    };
    return `for ${format.kinds.map((kind) => names[kind] ?? `${kind}s`).join(", ")}`;
  }
  if (!tracked && !format.kinds.some((kind) => kind === "color" || kind === "texture")) {
    return "track first";
  }
  return null;
}

function PreviewPane({ format }: { format: string }) {
  const [preview, setPreview] = useState<Preview | null>(null);
  useEffect(() => {
    const controller = new AbortController();
    setPreview(null);
    api.exportPreview(format, controller.signal).then(setPreview, (error: Error) => {
      if (error.name !== "AbortError") setPreview({ error: error.message });
    });
    return () => controller.abort();
  }, [format]);
  useEffect(
    () => () => {
      if (preview?.image) URL.revokeObjectURL(preview.image);
    },
    [preview],
  );
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must take the focus
    <section class="preview" aria-label="Preview" tabIndex={0}>
      {!preview && <p class="empty">Looking ...</p>}
      {preview?.error && <p class="empty">{preview.error}</p>}
      {preview?.image && <img src={preview.image} alt="One frame of what is written" />}
      {preview?.text !== undefined && <pre>{preview.text}</pre>}
    </section>
  );
}

export function ExportDialog() {
  const project = store.project.value!;
  const kinds = new Set<string>(project.objects.map((item) => item.kind));
  if (project.color?.result) kinds.add("color");
  if (project.textures?.length) kinds.add("texture");
  const known = store.state.value!.app.formats;
  const videos = known.filter((format) => format.name in VIDEOS);
  const others = known.filter((format) => !(format.name in VIDEOS));
  const formats = [...videos, ...others];
  const fitting = formats.filter((format) => !why(format, kinds, Boolean(project.result)));
  const coloring = store.mode.value === "color" && fitting.some(({ name }) => name === "coloured");
  const [name, setName] = useState(coloring ? "coloured" : (fitting[0]?.name ?? "overlay"));
  const [first, setFirst] = useState("");
  const job = store.job.value;
  const done = store.exported.value;
  const close = () => {
    store.dialog.value = null;
  };
  const write = async () => {
    store.exported.value = null;
    const startNumber = first === "" ? {} : { startNumber: Number(first) };
    await store.attempt(async () => {
      const saturation = name === "coloured" ? { saturation: store.saturation.value } : {};
      await api.export({ format: name, ...startNumber, ...saturation });
      await store.refresh();
    });
  };
  return (
    <Dialog title="Export" wide onClose={close}>
      <div class="export">
        {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must take the focus */}
        <fieldset class="formats" aria-label="Format" tabIndex={0}>
          {formats.map((format) => {
            const reason = why(format, kinds, Boolean(project.result));
            const video = VIDEOS[format.name];
            const heading = format === videos[0] ? "Video" : format === others[0] ? "Data" : "";
            return (
              <Fragment key={format.name}>
                {heading && <h3>{heading}</h3>}
                <label class={reason ? "format off" : "format"}>
                  <input
                    type="radio"
                    name="format"
                    checked={format.name === name}
                    disabled={Boolean(reason)}
                    onChange={() => {
                      setName(format.name);
                      store.exported.value = null;
                    }}
                  />
                  <span class="format-name">{video?.title ?? format.name}</span>
                  <span class="format-tool">{reason ?? video?.tool ?? format.tool}</span>
                </label>
              </Fragment>
            );
          })}
        </fieldset>
        <PreviewPane format={name} />
      </div>
      <footer>
        <label class="option" title="The number that the first frame gets in the files">
          Number the frames from
          <input
            class="number"
            type="number"
            min={0}
            placeholder="usual"
            value={first}
            onInput={(event) => setFirst(event.currentTarget.value)}
          />
        </label>
        <span class="spacer" />
        <span role="status" class="export-status">
          {job?.kind === "export" && `Writing ${job.total ? `${job.done} of ${job.total}` : "..."}`}
          {!job && done && (
            <>
              <Icon name="done" size={16} /> <span class="text">{done.text}</span>
            </>
          )}
        </span>
        {!job && done?.download && (
          <a class="button" href={done.download} download>
            Download
          </a>
        )}
        <button
          type="button"
          class="button primary"
          disabled={Boolean(job)}
          onClick={() => void write()}
        >
          Export
        </button>
      </footer>
    </Dialog>
  );
}
