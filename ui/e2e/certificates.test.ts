/** Until when the certificates of members are good can be seen, and heard, at any width. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { openStage, type Stage } from "./setup.ts";

setDefaultTimeout(180_000);

let stage: Stage;
beforeAll(async () => {
	stage = await openStage();
});
afterAll(() => stage.close());

const warning = "Its certificate ends soon, and was not renewed by itself";

for (const width of [360, 1024, 1440])
	test(`a member's certificate: its end at ${width} px, by keyboard, and that it is not renewed`, async () => {
		const context = { viewport: { width, height: 900 } };
		const { page, server, close, problems } = await stage.open({ nodes: 3, vms: 1, context });
		const second = [...server.state.tables.node.values()].find(({ name }) => name === "node-2");
		if (!second) throw new Error("there is no node-2");
		server.state.members.certificateDays.set(second.id, 20);
		await page.goto(`${server.url}/cluster`);
		await page.getByText("Quorum: changes are accepted").waitFor();

		// Whoever only looks at the members hears of what is wrong, and of nothing else.
		const members = page.locator(".card", { has: page.getByRole("heading", { name: "Members" }) });
		await members.getByText(warning).waitFor();
		expect(await members.getByText(warning).count()).toBe(1);

		const actions = members.getByRole("button", { name: "Actions: node-2" });
		await actions.focus();
		await page.keyboard.press("Enter");
		const renew = page.getByRole("menuitem", { name: "Renew certificate", exact: true });
		await page.keyboard.press("r");
		for (let presses = 0; presses < 10; presses++) {
			if (await renew.evaluate((item) => item === document.activeElement)) break;
			await page.keyboard.press("ArrowDown");
		}
		const described = await renew.evaluate((item) => {
			const id = item.getAttribute("aria-describedby");
			return item === document.activeElement && id !== null ? document.getElementById(id)?.textContent : null;
		});
		expect(described).toBe("Ends in 20 d. The node also renews it by itself, once a year.");
		if (process.env.SCREENSHOTS) await page.screenshot({ path: `${process.env.SCREENSHOTS}/menu-${width}.png` });
		await page.keyboard.press("Escape");
		if (process.env.SCREENSHOTS) await members.screenshot({ path: `${process.env.SCREENSHOTS}/members-${width}.png` });

		await members.getByRole("link", { name: "node-2", exact: true }).focus();
		await page.keyboard.press("Enter");
		const certificate = page.locator("dt", { hasText: "Certificate" }).locator("xpath=following-sibling::dd[1]");
		await certificate.getByText("in 20 d").waitFor();
		await page.locator(".notice").getByText(warning).waitFor();
		if (process.env.SCREENSHOTS) {
			await certificate.scrollIntoViewIfNeeded();
			await page.screenshot({ path: `${process.env.SCREENSHOTS}/node-${width}.png` });
		}
		expect(problems).toEqual([]);
		await close();
	});
