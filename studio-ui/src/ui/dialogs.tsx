import { useState } from "preact/hooks";
import { saveOwn, skeletonText, templates } from "../core/skeletons.ts";
import { SAID } from "../core/words.ts";
import { SHORTCUTS } from "../shortcuts.ts";
import * as store from "../store.ts";
import { say } from "../words.ts";
import { Dialog } from "./parts.tsx";

const SIGNS: Record<string, string> = {
  ArrowLeft: "←",
  ArrowRight: "→",
  ArrowUp: "↑",
  ArrowDown: "↓",
  Escape: "Esc",
};
const sign = (key: string) => key.replace(/Arrow\w+|Escape/, (name) => SIGNS[name] ?? name);

const close = () => {
  store.dialog.value = null;
};

export function HelpSheet() {
  return (
    <Dialog title="Keys" wide onClose={close}>
      <div class="keys">
        {SHORTCUTS.map(({ title, list }) => (
          <section key={title}>
            <h3>{title}</h3>
            <dl>
              {list.map(({ keys, text }) => (
                <div key={text}>
                  <dt>
                    {(keys.length > 4 ? [`${keys[0]} - ${keys.at(-1)}`] : keys)
                      .filter((key) => key !== "=")
                      .map((key) => (
                        <kbd key={key}>{sign(key)}</kbd>
                      ))}
                  </dt>
                  <dd>{text}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
      <p class="muted">{say(SAID.moving)}</p>
    </Dialog>
  );
}

export function SkeletonDialog() {
  const all = templates();
  const [text, setText] = useState(skeletonText(all[store.template.value] ?? all.person!));
  const [error, setError] = useState("");
  const save = () => {
    try {
      saveOwn(text);
      store.template.value = "own";
      close();
    } catch (problem) {
      setError((problem as Error).message);
    }
  };
  return (
    <Dialog title="Own skeleton" onClose={close}>
      <p class="muted">One joint a line. After a colon: the joints above that it is tied to.</p>
      <textarea
        class="skeleton-text"
        aria-label="Joints"
        rows={14}
        spellcheck={false}
        value={text}
        onInput={(event) => {
          setText(event.currentTarget.value);
          setError("");
        }}
      />
      <footer>
        <span role="status" class="bad">
          {error}
        </span>
        <span class="spacer" />
        <button type="button" class="button" onClick={close}>
          Cancel
        </button>
        <button type="button" class="button primary" onClick={save}>
          Save
        </button>
      </footer>
    </Dialog>
  );
}
