// Small parts that several panels use: icon buttons, menus, dialogs.

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Icon, type IconName } from "./icons.tsx";
import { Toasts } from "./Toasts.tsx";

export function IconButton(props: {
  icon: IconName;
  label: string;
  keys?: string;
  onClick: () => void;
  pressed?: boolean;
  disabled?: boolean;
  size?: number;
  class?: string;
}) {
  const { icon, label, keys, onClick, pressed, disabled, size } = props;
  return (
    <button
      type="button"
      class={`icon-button ${props.class ?? ""}`}
      aria-label={label}
      title={keys ? `${label} (${keys})` : label}
      aria-pressed={pressed}
      disabled={disabled}
      onClick={onClick}
    >
      <Icon name={icon} size={size ?? 20} />
    </button>
  );
}

export type MenuEntry = { text: string; run: () => void; danger?: boolean } | "line";

/** What closes a menu does nothing else: neither the press nor the click that it becomes. */
function swallow(press: Event) {
  const stop = (event: Event) => {
    event.preventDefault();
    event.stopPropagation();
  };
  stop(press);
  window.addEventListener("click", stop, { capture: true, once: true });
  setTimeout(() => window.removeEventListener("click", stop, true), 700);
}

export function Menu(props: {
  label: string;
  children: ComponentChildren;
  entries: MenuEntry[];
  class?: string;
  side?: "left" | "right";
  title?: string;
}) {
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const list = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!open) return;
    const box = root.current!.getBoundingClientRect();
    const menu = list.current!;
    const below = window.innerHeight - box.bottom;
    menu.style.top = `${below > menu.offsetHeight + 12 ? box.bottom + 4 : Math.max(8, box.top - menu.offsetHeight - 4)}px`;
    const left = props.side === "right" ? box.right - menu.offsetWidth : box.left;
    menu.style.left = `${Math.max(8, Math.min(left, window.innerWidth - menu.offsetWidth - 8))}px`;
    menu.querySelector<HTMLElement>("[role=menuitem]")?.focus();
    const outside = (event: Event) => {
      if (root.current?.contains(event.target as Node)) return;
      setOpen(false);
      if (event.type === "pointerdown") swallow(event);
    };
    window.addEventListener("pointerdown", outside, true);
    window.addEventListener("resize", outside);
    return () => {
      window.removeEventListener("pointerdown", outside, true);
      window.removeEventListener("resize", outside);
    };
  }, [open, props.side]);
  const close = () => {
    setOpen(false);
    root.current?.querySelector("button")?.focus();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const items = [...list.current!.querySelectorAll<HTMLElement>("[role=menuitem]")];
    const at = items.indexOf(document.activeElement as HTMLElement);
    const go = (to: number) => items[(to + items.length) % items.length]?.focus();
    if (event.key === "Escape") close();
    else if (event.key === "ArrowDown") go(at + 1);
    else if (event.key === "ArrowUp") go(at - 1);
    else if (event.key === "Tab") {
      setOpen(false);
      return;
    } else if (event.key !== "Enter" && event.key !== " ") return;
    event.stopPropagation();
    if (event.key.startsWith("Arrow") || event.key === "Escape") event.preventDefault();
  };
  return (
    <div class="menu-root" ref={root}>
      <button
        type="button"
        class={props.class ?? "icon-button"}
        aria-label={props.label}
        title={props.title ?? props.label}
        aria-haspopup="menu"
        aria-expanded={open}
        onClick={() => setOpen(!open)}
      >
        {props.children}
      </button>
      {open && (
        <div class="menu" role="menu" aria-label={props.label} ref={list} onKeyDown={onKeyDown}>
          {props.entries.map((entry, n) =>
            entry === "line" ? (
              <hr key={n} />
            ) : (
              <button
                key={entry.text}
                type="button"
                role="menuitem"
                tabIndex={-1}
                class={entry.danger ? "danger" : ""}
                onClick={() => {
                  close();
                  entry.run();
                }}
              >
                {entry.text}
              </button>
            ),
          )}
        </div>
      )}
    </div>
  );
}

export function Dialog(props: {
  title: string;
  wide?: boolean;
  onClose: () => void;
  children: ComponentChildren;
}) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = ref.current!;
    if (!dialog.open) dialog.showModal();
    return () => dialog.close();
  }, []);
  return (
    <dialog
      ref={ref}
      class={props.wide ? "dialog wide" : "dialog"}
      aria-label={props.title}
      onCancel={(event) => {
        event.preventDefault();
        props.onClose();
      }}
      onPointerDown={(event) => {
        if (event.target === ref.current) props.onClose();
      }}
    >
      <div class="dialog-body" tabIndex={-1} autofocus>
        <header>
          <h2>{props.title}</h2>
          <IconButton icon="close" label="Close" keys="Esc" onClick={props.onClose} />
        </header>
        {props.children}
      </div>
      <Toasts />
    </dialog>
  );
}
