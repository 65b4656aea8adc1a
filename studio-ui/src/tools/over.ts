// "Start over": what the picked object has on the frame on show is left out, whichever tool marks it.

import { computed, signal } from "@preact/signals";
import { type Item, isTracked } from "../core/state.ts";
import * as store from "../store.ts";

/** Whether what the picked object has on the frame is left out: what is marked next begins it. */
export const startsOver = signal(false);
/** The picked object, where it has a mask on this frame that can be corrected. */
export const correctable = computed((): Item | null => {
  const [item, project] = [store.pickedItem.value, store.project.value];
  if (item?.kind !== "object" || item.locked || !project) return null;
  const marked = store.marks.value.objects?.includes(item.id);
  return marked || isTracked(project, item, store.frame.value) ? item : null;
});
/** The id that is left out, null: none is. */
export const leftOut = computed(() =>
  startsOver.value ? (store.pickedItem.value?.id ?? null) : null,
);

const place = computed(() => {
  const project = store.project.value;
  return JSON.stringify([project?.path ?? project?.folder, store.picked.value, store.frame.value]);
});
// It holds for one object on one frame, till one turns to another.
place.subscribe(() => {
  startsOver.value = false;
});
