/** Entry of the web UI. */
import { render } from "preact";
import { startSession } from "./api/session.ts";
import { startTaskStore } from "./api/tasks.ts";
import { guardUploads } from "./api/uploads.ts";
import { App } from "./app.tsx";
import { startClock } from "./components/relative-time.tsx";
import { startScrollMemory } from "./lib/scroll-memory.ts";
import { startTheme } from "./lib/theme.ts";

startTheme();
startScrollMemory();
startClock();
startTaskStore();
guardUploads();
void startSession();

const root = document.getElementById("app");
if (root) render(<App />, root);
