import { effect } from "@preact/signals";
import { render } from "preact";
import "./style.css";
import { keepTime } from "./player.ts";
import { listenForKeys } from "./shortcuts.ts";
import { start, theme } from "./store.ts";
import { keepInSight } from "./timelineview.ts";
import { App } from "./ui/App.tsx";
import { listenForPointers } from "./words.ts";

effect(() => {
  const root = document.documentElement;
  if (theme.value === "auto") delete root.dataset.theme;
  else root.dataset.theme = theme.value;
});

// A click on a button must not take the keys away from the canvas; Tab still gets everywhere.
document.addEventListener("mousedown", (event) => {
  if ((event.target as Element).closest("button, .lane")) event.preventDefault();
});

keepTime();
keepInSight();
listenForKeys();
listenForPointers();
start();
render(<App />, document.getElementById("app")!);
