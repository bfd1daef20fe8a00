/** README names the packages that a host needs: those that are installed by `npm start`. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./root.ts";

/** Plain JavaScript: it is used before there is anything else. */
const list: string = "./debian-packages.mjs";
const { runtimePackages } = (await import(list)) as { runtimePackages: string[] };

test("README's command installs what a node needs to run VMs", () => {
	const readme = readFileSync(join(root, "README.md"), "utf8");
	const command = /^apt-get install --no-install-recommends ((?:.*\\\n)*.*)$/m.exec(readme)?.[1] ?? "";
	const named = command.split(/[\s\\]+/).filter((word) => word !== "");
	expect(named).toEqual(runtimePackages);
});
