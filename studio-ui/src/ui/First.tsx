// The first screen: nothing is open yet.

import { useRef, useState } from "preact/hooks";
import { api } from "../api.ts";
import type { Recent } from "../core/state.ts";
import * as store from "../store.ts";
import { touching } from "../words.ts";
import { Icon } from "./icons.tsx";
import { Logo, ThemeButton } from "./TopBar.tsx";

const WAYS = [
  ["track", "Follow things", ["Mark an object", "Track it", "Fix and export"]],
  ["color", "Colour a grey film", ["Paint a frame", "Colour it", "Fix and export"]],
] as const;

export function upload(file: File | undefined) {
  if (file) void store.openWith(`Reading ${file.name}`, () => api.upload(file));
}

export function First() {
  const [over, setOver] = useState(false);
  const [path, setPath] = useState("");
  const file = useRef<HTMLInputElement>(null);
  const state = store.state.value;
  const busy = store.busy.value;
  const open = (where: string) =>
    void store.openWith(`Opening ${where.split(/[\\/]/).at(-1)}`, () => api.open(where));
  return (
    <main class="first">
      <div class="first-corner">
        <ThemeButton />
      </div>
      <div class="first-card">
        <h1>
          <Logo /> Chromatrack
        </h1>
        <fieldset class="first-ways" aria-label="What to do">
          {WAYS.map(([name, title, steps]) => (
            <button
              key={name}
              type="button"
              aria-pressed={store.wish.value === name}
              onClick={() => {
                store.wish.value = name;
              }}
            >
              <strong>{title}</strong>
              <span class="first-steps">
                {steps.map((text, n) => (
                  <span key={text}>
                    <span class="step" aria-hidden="true">
                      {n + 1}
                    </span>
                    {text}
                  </span>
                ))}
              </span>
            </button>
          ))}
        </fieldset>
        {/* biome-ignore lint/a11y/noStaticElementInteractions: dropping is an extra; the button does it too */}
        <div
          class={over ? "drop over" : "drop"}
          onDragOver={(event) => {
            event.preventDefault();
            setOver(true);
          }}
          onDragLeave={() => setOver(false)}
          onDrop={(event) => {
            event.preventDefault();
            setOver(false);
            upload(event.dataTransfer?.files[0]);
          }}
        >
          <Icon name="film" size={32} />
          {busy ? (
            <p role="status">{busy} ...</p>
          ) : (
            <p>
              {!touching.value && "Drop a video here, or "}
              <button type="button" class="link" onClick={() => file.current?.click()}>
                {touching.value ? "Choose a video" : "choose one"}
              </button>
            </p>
          )}
          {busy && <progress aria-label={busy} />}
          <input
            ref={file}
            class="sr-only"
            type="file"
            accept="video/*,image/gif"
            aria-label="Choose a video"
            tabIndex={-1}
            onChange={(event) => upload(event.currentTarget.files?.[0])}
          />
        </div>
        <form
          class="open-path"
          onSubmit={(event) => {
            event.preventDefault();
            if (path.trim()) open(path.trim());
          }}
        >
          <input
            type="text"
            aria-label="Path of a video or project"
            placeholder="Path of a video or project"
            value={path}
            onInput={(event) => setPath(event.currentTarget.value)}
          />
          <button type="submit" class="button" disabled={Boolean(busy) || !path.trim()}>
            Open
          </button>
        </form>
        {state?.demo && (
          <button
            type="button"
            class="button primary wide"
            disabled={Boolean(busy)}
            onClick={() => void store.openWith("Opening the demo clip", () => api.demo())}
          >
            <Icon name="play" size={16} /> Try the demo clip
          </button>
        )}
        {Boolean(state?.recent.length) && (
          <section class="recent" aria-labelledby="recent-title">
            <h2 id="recent-title">Recent</h2>
            <ul>
              {state!.recent.slice(0, 5).map((one) => (
                <li key={one.path}>
                  <button
                    type="button"
                    class="recent-row"
                    disabled={Boolean(busy)}
                    title={one.path}
                    onClick={() => open(one.path)}
                  >
                    <Cover of={one} />
                    <span class="text">{one.name}</span>
                    <span class="muted">{shortDate(one.when)}</span>
                  </button>
                </li>
              ))}
            </ul>
          </section>
        )}
      </div>
    </main>
  );
}

/** A frame of a project, or a sign where none is kept. */
function Cover({ of }: { of: Recent }) {
  const [missing, setMissing] = useState(false);
  return (
    <span class="recent-cover" aria-hidden="true">
      {missing ? (
        <Icon name="film" size={16} />
      ) : (
        <img src={`/api/recent/${of.key}`} alt="" onError={() => setMissing(true)} />
      )}
    </span>
  );
}

/** `when`: seconds since 1970, or a date as text. */
function shortDate(when: string | number): string {
  const date = new Date(typeof when === "number" ? 1000 * when : when);
  if (Number.isNaN(date.getTime())) return String(when);
  const time = date.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });
  if (date.toDateString() === new Date().toDateString()) return `today ${time}`;
  const day = date.toLocaleDateString(undefined, { day: "numeric", month: "short" });
  return `${day} ${time}`;
}
