/** More nodes than vote: those beyond are members like any other, and look like it. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { maxVoters } from "../../src/model/member-limits.ts";
import { joined, joinWith } from "../dev/mock/members.ts";
import { openStage, type Stage } from "./setup.ts";

setDefaultTimeout(180_000);

let stage: Stage;
beforeAll(async () => {
	stage = await openStage();
});
afterAll(() => stage.close());

for (const width of [360, 1440])
	test(`the sixteenth node arrives, does not vote, and nothing is wrong with it, at ${width} px`, async () => {
		const context = { viewport: { width, height: 900 } };
		const { page, server, close, problems } = await stage.open({ nodes: maxVoters, vms: 1, context });
		await page.goto(`${server.url}/cluster`);
		await page.getByText("Quorum: changes are accepted").waitFor();
		await page.getByRole("button", { name: "Add node" }).click();
		const panel = page.getByRole("dialog", { name: "Add a node" });
		await panel.getByRole("button", { name: "Make token" }).click();
		await panel.getByText("Waiting for the node").waitFor();
		const [token] = [...server.state.tables.joinToken.values()];
		if (!token) throw new Error("there is no token");
		const node = joinWith(server.state, token, "node-16");
		await panel.getByText("Receives the cluster's state").waitFor();
		joined(server.state, node);
		await panel.getByText("A member with everything. 15 others vote, which is the most").waitFor();
		await panel.getByRole("button", { name: "Done" }).click();

		await page.getByText("15 of 15 voting nodes reached, 7 more may fail").waitFor();
		await page.getByText("15 nodes vote, which is the most.").waitFor();
		const members = page.locator(".card", { has: page.getByRole("heading", { name: "Members" }) });
		await members.getByTitle("Has everything, and votes when one of the 15 that do has gone").waitFor();
		// What no event tells is asked for now and then.
		await members.getByText("Catching up").waitFor({ state: "detached" });
		// Nobody is told to wait, or that something is wrong.
		for (const alarm of ["Not reached", "does not vote yet"]) expect(await page.getByText(alarm).count()).toBe(0);
		if (process.env.SCREENSHOTS) await page.screenshot({ path: `${process.env.SCREENSHOTS}/large-${width}.png` });
		if (process.env.SCREENSHOTS) await members.screenshot({ path: `${process.env.SCREENSHOTS}/members-${width}.png` });
		expect(problems).toEqual([]);
		await close();
	});
