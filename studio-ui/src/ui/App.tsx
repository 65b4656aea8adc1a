import { useEffect, useRef, useState } from "preact/hooks";
import { listenTo } from "../input.ts";
import { viewer } from "../stage.ts";
import { useStill } from "../stills.ts";
import * as store from "../store.ts";
import { Viewer } from "../viewer.ts";
import { BatchDialog } from "./BatchDialog.tsx";
import { ColorLegend, ColorPanel } from "./Color.tsx";
import { HelpSheet, SkeletonDialog } from "./dialogs.tsx";
import { ExportDialog } from "./ExportDialog.tsx";
import { First, upload } from "./First.tsx";
import { FrameMarks, Objects } from "./Objects.tsx";
import { Timeline } from "./Timeline.tsx";
import { Toasts } from "./Toasts.tsx";
import { Hints, ToolBar, ToolLine } from "./ToolBar.tsx";
import { TopBar } from "./TopBar.tsx";

function Stage() {
  const base = useRef<HTMLCanvasElement>(null);
  const over = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const made = new Viewer(base.current!, over.current!);
    viewer.value = made;
    const stop = listenTo(made, over.current!);
    return () => {
      stop();
      made.end();
      viewer.value = null;
    };
  }, []);
  const missing = store.project.value?.video.missing;
  return (
    <div class="stage">
      <canvas ref={base} class="base" />
      <canvas ref={over} class="over" role="img" aria-label="The picture: mark objects here" />
      <ColorLegend />
      {!missing && (store.pictureNote.value || store.buffering.value) && (
        <p class="stage-note late" role="status">
          {store.pictureNote.value || "Loading"}
        </p>
      )}
      {missing && (
        <p class="stage-note" role="status">
          The video is not where it was. Put it back, or open it again.
        </p>
      )}
    </div>
  );
}

function Workspace() {
  const [over, setOver] = useState(false);
  const coloring = store.mode.value === "color";
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: dropping a video is an extra
    <div
      class={over ? "workspace dropping" : "workspace"}
      onDragOver={(event) => {
        if (!event.dataTransfer?.types.includes("Files")) return;
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={(event) => {
        if (event.relatedTarget === null) setOver(false);
      }}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        const file = event.dataTransfer?.files[0];
        if (coloring && file?.type.startsWith("image/")) void useStill(file);
        else upload(file);
      }}
    >
      <TopBar />
      <ToolBar />
      <main class="centre" aria-label="Picture">
        <ToolLine />
        <Stage />
        <Hints />
      </main>
      <aside class="side" aria-label="Objects and marks">
        {coloring ? (
          <ColorPanel />
        ) : (
          <>
            <Objects />
            <FrameMarks />
          </>
        )}
      </aside>
      <Timeline />
    </div>
  );
}

export function App() {
  const open = store.project.value !== null;
  useEffect(() => {
    const name = store.project.value?.name;
    document.title = name ? `${name} · Chromatrack` : "Chromatrack";
  });
  if (store.state.value === null) return <Toasts />;
  return (
    <>
      {open ? <Workspace /> : <First />}
      {open && store.dialog.value === "export" && <ExportDialog />}
      {open && store.dialog.value === "batch" && <BatchDialog />}
      {open && store.dialog.value === "skeleton" && <SkeletonDialog />}
      {store.dialog.value === "help" && <HelpSheet />}
      {store.dialog.value === null && <Toasts />}
    </>
  );
}
