/** axe-core finds nothing on any page on a phone, nor in what opens over the pages in the dark theme. The rest: accessibility.test.ts. */
import { afterAll, beforeAll, setDefaultTimeout, test } from "bun:test";
import { expectNothingOnAnyPage } from "./axe.ts";
import { expectNothingOverPages } from "./overlays.ts";
import { openStage, type Stage } from "./setup.ts";

setDefaultTimeout(400_000);

let stage: Stage;
beforeAll(async () => {
	stage = await openStage();
});
afterAll(() => stage.close());

test("every page, phone", () =>
	expectNothingOnAnyPage(stage, { colorScheme: "light", viewport: { width: 360, height: 740 } }));

test("what opens over the pages, dark", () => expectNothingOverPages(stage, "dark"));
