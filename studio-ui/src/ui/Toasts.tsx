import * as store from "../store.ts";
import { Icon } from "./icons.tsx";

/** Messages of one line. An open dialog holds them, so that they are not behind it. */
export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {!store.online.value && <div class="toast bad">Connection lost. Trying again ...</div>}
      {store.toasts.value.map((toast) => (
        <div
          key={toast.id}
          class={toast.bad ? "toast bad" : "toast"}
          onPointerEnter={() => store.hold(toast.id)}
          onPointerLeave={() => store.hold(null)}
        >
          <span class="text" title={toast.text}>
            {toast.text}
          </span>
          {toast.actions.map(({ text, run }) => (
            <button key={text} type="button" class="button small" onClick={run}>
              {text}
            </button>
          ))}
          <button
            type="button"
            class="icon-button"
            aria-label="Close"
            onClick={() => {
              store.hold(null);
              store.dismiss(toast.id);
            }}
          >
            <Icon name="close" size={14} />
          </button>
        </div>
      ))}
    </div>
  );
}
