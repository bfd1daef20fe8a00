/**
 * What every HypervisorDriver does, as tests: run on the fake and on the libvirt driver. A part that a hypervisor
 * cannot show is skipped with the reason that its harness gives. Imported by tests only.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { isAppError } from "../lib/errors.ts";
import { MiB } from "../lib/units.ts";
import { type ConformanceHarness, type ConformancePart, changesConformance } from "./conformance-changes.ts";
import { disksConformance } from "./conformance-disks.ts";
import type { DomainEvent, DomainSpec, HypervisorDriver } from "./driver.ts";
import { isPng } from "./png.ts";
import { smallDomain } from "./test-domain.ts";

export type { ConformanceHarness, ConformancePart } from "./conformance-changes.ts";

type Options = {
	open(): Promise<ConformanceHarness>;
	/** Why a part cannot be shown here. */
	cannot: Partial<Record<ConformancePart, string>>;
	/** How long a step may take. */
	limitMs: number;
};

export function hypervisorConformance(name: string, options: Options): void {
	const { limitMs, cannot } = options;
	const part = (needed: ConformancePart | null, title: string, body: () => Promise<void>) => {
		const reason = needed === null ? undefined : cannot[needed];
		if (reason === undefined) test(title, body, limitMs * 4);
		else test.skip(`${title} (${reason})`, body);
	};

	describe(`hypervisor conformance: ${name}`, () => {
		let harness: ConformanceHarness;
		let driver: HypervisorDriver;
		let events: EventRecorder;
		let last = 0;
		const fresh = (): DomainSpec => {
			last += 1;
			return smallDomain(last, harness.folder(last));
		};
		const running = async (domain: DomainSpec): Promise<DomainSpec> => {
			await driver.define(domain);
			await driver.start(domain.id, { paused: false });
			return domain;
		};
		const gone = async (domain: DomainSpec) => {
			await driver.destroy(domain.id);
			await driver.undefine(domain.id);
		};

		beforeAll(async () => {
			harness = await options.open();
			driver = harness.driver;
			events = recordEvents(driver, limitMs);
		}, limitMs * 4);
		afterAll(async () => {
			await harness?.close();
		}, limitMs * 4);

		test("says that it is connected", () => {
			expect(driver.info().state).toBe("connected");
			expect(driver.info().reason).toBeNull();
			expect(driver.info().cpuCount).toBeGreaterThan(0);
			expect(driver.info().memoryBytes).toBeGreaterThan(MiB);
		});

		part(null, "defines, finds and removes a domain, each as often as one likes", async () => {
			const domain = fresh();
			expect(await driver.getDomain(domain.id)).toBeNull();
			await driver.define(domain);
			await driver.define(domain);
			const state = await driver.getDomain(domain.id);
			expect(state).toMatchObject({ id: domain.id, name: domain.name, powerState: "stopped", ours: true });
			expect(state).toMatchObject({ persistent: true, definedGeneration: 1, runningGeneration: null });
			await driver.define({ ...domain, generation: 7, name: "another-name" });
			expect(await driver.getDomain(domain.id)).toMatchObject({ name: "another-name", definedGeneration: 7 });
			expect((await driver.listDomains()).filter((found) => found.id === domain.id)).toHaveLength(1);
			await driver.undefine(domain.id);
			await driver.undefine(domain.id);
			expect(await driver.getDomain(domain.id)).toBeNull();
		});

		part(null, "fails with not-found for a domain that is not there", async () => {
			const { id } = fresh();
			const calls: Promise<unknown>[] = [
				...[driver.start(id, { paused: false }), driver.requestShutdown(id), driver.destroy(id), driver.reset(id)],
				...[driver.pause(id), driver.resume(id), driver.domainXml(id), driver.screenshot(id), driver.vncSocket(id)],
				...[driver.openSerial(id), driver.inspectForeign(id), driver.changeMedia(id, "cd", null)],
			];
			for (const result of await Promise.allSettled(calls)) expect(codeOf(result)).toBe("not-found");
		});

		part(null, "fails with wrong-state for what a stopped domain cannot do", async () => {
			const domain = fresh();
			await driver.define(domain);
			const { id } = domain;
			const calls: Promise<unknown>[] = [
				...[driver.requestShutdown(id), driver.reset(id), driver.pause(id), driver.resume(id)],
				...[driver.screenshot(id), driver.vncSocket(id), driver.openSerial(id), driver.applyLive(domain)],
			];
			for (const result of await Promise.allSettled(calls)) expect(codeOf(result)).toBe("wrong-state");
			await driver.destroy(id);
			await driver.undefine(id);
		});

		part(null, "starts, pauses, resumes, resets and stops, with events", async () => {
			const domain = await running(fresh());
			const { id } = domain;
			await events.lifecycle(id, "running");
			expect(await driver.getDomain(id)).toMatchObject({ powerState: "running", runningGeneration: 1 });
			await driver.start(id, { paused: false });
			await driver.pause(id);
			await driver.pause(id);
			await events.lifecycle(id, "paused");
			expect(await driver.getDomain(id)).toMatchObject({ powerState: "paused", reason: "user" });
			await driver.start(id, { paused: false });
			expect((await driver.getDomain(id))?.powerState).toBe("paused");
			await driver.resume(id);
			await driver.resume(id);
			expect((await driver.getDomain(id))?.powerState).toBe("running");
			await driver.reset(id);
			await expect(driver.undefine(id)).rejects.toMatchObject({ code: "wrong-state" });
			await driver.destroy(id);
			await driver.destroy(id);
			await events.lifecycle(id, "stopped");
			expect(await driver.getDomain(id)).toMatchObject({ powerState: "stopped", reason: "destroyed" });
			await driver.undefine(id);
		});

		part("paused-start", "starts paused", async () => {
			const domain = fresh();
			await driver.define(domain);
			await driver.start(domain.id, { paused: true });
			expect((await driver.getDomain(domain.id))?.powerState).toBe("paused");
			await driver.resume(domain.id);
			expect((await driver.getDomain(domain.id))?.powerState).toBe("running");
			await gone(domain);
		});

		part("guest-shutdown", "shuts a guest down", async () => {
			const domain = await running(await harness.withGuest(fresh()));
			await harness.guestReady(domain.id);
			await driver.requestShutdown(domain.id);
			await events.lifecycle(domain.id, "stopped");
			expect(await driver.getDomain(domain.id)).toMatchObject({ powerState: "stopped", reason: "shutdown" });
			await driver.undefine(domain.id);
		});

		part(null, "does not ask a paused guest to shut down", async () => {
			const domain = await running(fresh());
			await driver.pause(domain.id);
			await expect(driver.requestShutdown(domain.id)).rejects.toMatchObject({ code: "wrong-state" });
			await gone(domain);
		});

		part(null, "keeps a redefinition for the next start", async () => {
			const domain = await running(fresh());
			await driver.define({ ...domain, generation: 2 });
			expect(await driver.getDomain(domain.id)).toMatchObject({ definedGeneration: 2, runningGeneration: 1 });
			await driver.destroy(domain.id);
			await driver.start(domain.id, { paused: false });
			expect(await driver.getDomain(domain.id)).toMatchObject({ definedGeneration: 2, runningGeneration: 2 });
			await gone(domain);
		});

		const tools = { part, fresh, running, gone, driver: () => driver, harness: () => harness };
		changesConformance(tools);
		disksConformance(tools);

		part("screen", "takes a picture of the screen", async () => {
			const domain = await running(fresh());
			expect(isPng(await driver.screenshot(domain.id))).toBe(true);
			await gone(domain);
		});

		part("vnc-socket", "names the VNC socket in the domain's own folder", async () => {
			const domain = await running(fresh());
			expect((await driver.vncSocket(domain.id)).startsWith(`${domain.folder}/`)).toBe(true);
			await gone(domain);
		});

		part("serial", "opens the serial console, which ends with the domain", async () => {
			const domain = await running(fresh());
			const serial = await driver.openSerial(domain.id);
			await serial.write(new TextEncoder().encode("x\n"));
			const drained = (async () => {
				for await (const _ of serial.output);
				return "ended";
			})();
			await driver.destroy(domain.id);
			expect(await drained).toBe("ended");
			await serial.close();
			await driver.undefine(domain.id);
		});

		part("figures", "gives figures of what runs, and no other", async () => {
			const domain = await running(fresh());
			const stopped = fresh();
			await driver.define(stopped);
			const all = await driver.stats();
			const mine = all.find((figures) => figures.id === domain.id);
			expect(mine).toMatchObject({ powerState: "running", vcpus: 1 });
			expect(all.some((figures) => figures.id === stopped.id)).toBe(false);
			await gone(domain);
			await driver.undefine(stopped.id);
		});

		part(null, "knows no addresses of a guest that has none", async () => {
			const domain = await running(fresh());
			expect(await driver.addresses(domain.id)).toEqual([]);
			await gone(domain);
		});

		part(null, "shows the domain's XML", async () => {
			const domain = fresh();
			await driver.define(domain);
			expect(await driver.domainXml(domain.id)).toContain(`<uuid>${domain.id}</uuid>`);
			await driver.undefine(domain.id);
		});
	});
}

type EventRecorder = { lifecycle(id: string, powerState: string): Promise<void> };

function recordEvents(driver: HypervisorDriver, limitMs: number): EventRecorder {
	const seen: DomainEvent[] = [];
	const waiting = new Set<() => void>();
	driver.onEvent((event) => {
		seen.push(event);
		for (const wake of [...waiting]) wake();
	});
	return {
		lifecycle: (id, powerState) =>
			new Promise((resolve, reject) => {
				const check = () => {
					const found = seen.some(
						(event) => event.kind === "lifecycle" && event.id === id && event.powerState === powerState,
					);
					if (!found) return;
					waiting.delete(check);
					clearTimeout(timer);
					resolve();
				};
				const timer = setTimeout(() => {
					waiting.delete(check);
					reject(new Error(`no event said that ${id} is ${powerState}; seen: ${JSON.stringify(seen)}`));
				}, limitMs);
				waiting.add(check);
				check();
			}),
	};
}

function codeOf(result: PromiseSettledResult<unknown>): string {
	if (result.status === "fulfilled") return "fulfilled";
	return isAppError(result.reason) ? result.reason.code : String(result.reason);
}
