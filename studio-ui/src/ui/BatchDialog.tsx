// "Run on other videos": writes the list that `chromatrack batch` reads.

import { useState } from "preact/hooks";
import { api } from "../api.ts";
import * as store from "../store.ts";
import { Dialog } from "./parts.tsx";

type Written = Awaited<ReturnType<typeof api.batch>>;

export function BatchDialog() {
  const [text, setText] = useState("");
  const [format, setFormat] = useState<"csv" | "jsonl">("csv");
  const [written, setWritten] = useState<Written | null>(null);
  const [busy, setBusy] = useState(false);
  const videos = text
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean);
  const close = () => {
    store.dialog.value = null;
  };
  const write = async () => {
    setBusy(true);
    await store.attempt(async () => setWritten(await api.batch({ videos, format })));
    setBusy(false);
  };
  return (
    <Dialog title="Run on other videos" onClose={close}>
      <p class="muted">
        The same marks and settings on other videos of the same kind. One path a line.
      </p>
      <textarea
        class="skeleton-text"
        aria-label="Paths of videos"
        placeholder="/home/me/clips/second.mp4"
        rows={6}
        spellcheck={false}
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
      />
      {written && (
        <div class="written" role="status">
          <p>Written to {written.path}. To run it:</p>
          <pre>{written.command}</pre>
          {written.notes.map((note) => (
            <p key={note} class="muted">
              {note}
            </p>
          ))}
        </div>
      )}
      <footer>
        <label class="named-select">
          List as
          <select
            class="select"
            aria-label="List as"
            value={format}
            onChange={(event) => setFormat(event.currentTarget.value as "csv" | "jsonl")}
          >
            <option value="csv">CSV</option>
            <option value="jsonl">JSON lines</option>
          </select>
        </label>
        <span class="spacer" />
        {written && (
          <a class="button" href={written.download} download>
            Download
          </a>
        )}
        <button
          type="button"
          class="button primary"
          disabled={!videos.length || busy}
          onClick={() => void write()}
        >
          Write the list
        </button>
      </footer>
    </Dialog>
  );
}
