// The one viewer on the page, for those who act on it from outside: keys, buttons, the player.

import { signal } from "@preact/signals";
import type { Viewer } from "./viewer.ts";

export const viewer = signal<Viewer | null>(null);
