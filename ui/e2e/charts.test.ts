/** Charts of the last hour: there at once, zoomed for as long as one wants, with their values in words. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import type { Locator, Page } from "playwright-core";
import { type Opened, openStage, type Stage } from "./setup.ts";

setDefaultTimeout(180_000);

let stage: Stage;
beforeAll(async () => {
	stage = await openStage();
});
afterAll(() => stage.close());

async function openCharts({ page, server }: Opened): Promise<Locator> {
	const vm = [...server.state.tables.vm.values()].find(({ status }) => status.powerState === "running");
	await page.goto(`${server.url}/vms/${vm?.id}`);
	const cpu = page.locator(".chart").first();
	await cpu.locator(".u-over").waitFor();
	return cpu;
}

/** Seconds of the day under the crosshair, at a part of the chart's width. */
async function timeAt(page: Page, chart: Locator, part: number): Promise<number> {
	const box = await chart.locator(".u-over").boundingBox();
	if (!box) throw new Error("the chart has no place");
	await page.mouse.move(box.x + 1 + (box.width - 2) * part, box.y + box.height / 2);
	// Crosshair and words follow within one frame each.
	await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
	const text = (await chart.locator(".chart__time").textContent()) ?? "";
	const [, hours, minutes, seconds, half] = /(\d+):(\d+):(\d+)\s*(AM|PM)?/.exec(text) ?? [];
	return ((Number(hours) % 12) + (half === "PM" ? 12 : 0)) * 3600 + Number(minutes) * 60 + Number(seconds);
}

async function span(page: Page, chart: Locator): Promise<number> {
	const from = await timeAt(page, chart, 0);
	return ((await timeAt(page, chart, 1)) - from + 86_400) % 43_200;
}

async function drag(page: Page, chart: Locator, from: number, to: number): Promise<void> {
	await timeAt(page, chart, from);
	await page.mouse.down();
	await timeAt(page, chart, (from + to) / 2);
	await timeAt(page, chart, to);
	await page.mouse.up();
}

test("an hour is there at once; what one zooms into stays, also short, until one asks for all", async () => {
	const opened = await stage.open({ vms: 3, context: { viewport: { width: 1280, height: 1000 } } });
	const { page, problems } = opened;
	const cpu = await openCharts(opened);
	await page.getByText("The last hour").waitFor();
	expect(await span(page, cpu)).toBeGreaterThan(3400);

	await drag(page, cpu, 0.4, 0.6);
	const all = page.getByRole("button", { name: "Show all" });
	await all.waitFor();
	const zoomed = await span(page, cpu);
	expect(zoomed).toBeGreaterThan(500);
	expect(zoomed).toBeLessThan(900);
	// The other charts of the page show the same time.
	expect(await span(page, page.locator(".chart").last())).toBe(zoomed);

	await drag(page, cpu, 0.4, 0.45);
	const short = await span(page, cpu);
	expect(short).toBeLessThan(60);
	const begin = await timeAt(page, cpu, 0);
	await page.waitForResponse((response) => response.url().endsWith("/metrics"));
	expect([await timeAt(page, cpu, 0), await span(page, cpu)]).toEqual([begin, short]);

	await all.click();
	expect(await span(page, cpu)).toBeGreaterThan(3400);
	await drag(page, cpu, 0.4, 0.6);
	await all.waitFor();
	await cpu.locator(".u-over").dblclick();
	await all.waitFor({ state: "detached" });
	expect(problems).toEqual([]);
	await opened.close();
});

test("the last value stands under the chart; pointing at another moves nothing", async () => {
	const opened = await stage.open({ vms: 3, context: { viewport: { width: 1280, height: 1000 } } });
	const { page } = opened;
	await openCharts(opened);
	const disk = page.locator(".chart").nth(2);
	const values = disk.locator(".chart__value");
	const last = await values.allTextContents();
	for (const value of last) expect(value).toMatch(/\d.*B\/s$/);
	const places = () =>
		page.locator(".chart, .chart__legend li, .chart__plot").evaluateAll((elements) =>
			elements.map((element) => {
				const { x, y, width, height } = element.getBoundingClientRect();
				return [x, y, width, height].join();
			}),
		);
	const before = await places();
	for (const part of [0.1, 0.35, 0.8]) {
		await timeAt(page, disk, part);
		expect(await places()).toEqual(before);
	}
	expect(await values.allTextContents()).not.toEqual(last);
	await opened.close();
});

test("a VM that was stopped still shows how it was", async () => {
	const opened = await stage.open({ vms: 3 });
	const { page, server } = opened;
	await openCharts(opened);
	const id = page.url().split("/").at(-1) ?? "";
	const vm = server.state.tables.vm.get(id);
	if (vm) server.state.change("vm", id, { status: { ...vm.status, powerState: "stopped" } });
	await page.getByText("This is how it was before.").waitFor();
	await page.locator(".chart .u-over").first().waitFor();
	await opened.close();
});
