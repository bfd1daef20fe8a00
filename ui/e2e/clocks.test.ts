/** That a member's clock is off is seen, and heard, where one looks at the members; and by how much. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { openStage, type Stage } from "./setup.ts";

setDefaultTimeout(180_000);

let stage: Stage;
beforeAll(async () => {
	stage = await openStage();
});
afterAll(() => stage.close());

const warning = "Its clock is 2 h 5 min behind most others";

for (const width of [360, 1440])
	for (const colorScheme of ["dark", "light"] as const)
		test(`a clock that is off, at ${width} px, ${colorScheme}`, async () => {
			const context = { viewport: { width, height: 900 }, colorScheme };
			const { page, server, close, problems } = await stage.open({ nodes: 3, vms: 1, context });
			const second = [...server.state.tables.node.values()].find(({ name }) => name === "node-2");
			if (!second) throw new Error("there is no node-2");
			server.state.members.clocksMs.set(second.id, -7_500_000);
			const shot = async (name: string) => {
				const path = `${process.env.SCREENSHOTS}/clock-${name}-${width}-${colorScheme}.png`;
				if (process.env.SCREENSHOTS) await page.screenshot({ path });
			};
			// Before anybody has looked at the members.
			const attention = page.locator(".card", { has: page.getByRole("heading", { name: "Needs attention" }) });
			await page.goto(server.url);
			await attention.getByText(warning).waitFor();
			await page.goto(`${server.url}/cluster`);
			await page.getByText("The clock of node-2 is 2 h 5 min behind those of most others.").waitFor();
			const members = page.locator(".card", { has: page.getByRole("heading", { name: "Members" }) });
			await members.getByText(warning).waitFor();
			expect(await members.getByText(warning).count()).toBe(1);
			await shot("cluster");

			await members.getByRole("link", { name: "node-2", exact: true }).click();
			await page.locator(".notice").getByText(warning).waitFor();
			const clock = page.locator("dt", { hasText: "Clock" }).locator("xpath=following-sibling::dd[1]");
			await clock.getByText("2 h 5 min behind most others").waitFor();
			await shot("node");
			expect(problems).toEqual([]);
			await close();
		});

test("of two clocks that differ nobody is blamed", async () => {
	const { page, server, close, problems } = await stage.open({ nodes: 2, vms: 1 });
	const second = [...server.state.tables.node.values()].find(({ name }) => name === "node-2");
	if (!second) throw new Error("there is no node-2");
	server.state.members.clocksMs.set(second.id, -7_500_000);
	await page.goto(server.url);
	const attention = page.locator(".card", { has: page.getByRole("heading", { name: "Needs attention" }) });
	await attention.getByText("The clocks of node-1, node-2 differ by 2 h 5 min").waitFor();
	await page.goto(`${server.url}/cluster`);
	const members = page.locator(".card", { has: page.getByRole("heading", { name: "Members" }) });
	for (const other of ["node-1", "node-2"])
		await members.getByText(`Its clock and that of ${other} differ by 2 h 5 min`).waitFor();
	await members.getByRole("link", { name: "node-2", exact: true }).click();
	await page.locator(".notice").getByText("Its clock and that of node-1 differ by 2 h 5 min").waitFor();
	expect(problems).toEqual([]);
	await close();
});
