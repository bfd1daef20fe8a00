/** What every NetworkDriver does, as tests: run on the fake and on the real one. Imported by tests only. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { NetworkConfig } from "../model/network.ts";
import type { NetworkDriver } from "./driver.ts";

export type NetworkHarness = {
	driver: NetworkDriver;
	/** A Linux bridge that exists on the host. */
	bridge: string;
	/** Plugs something into a bridge, or takes it out again. */
	plug(bridge: string): Promise<void>;
	unplug(bridge: string): Promise<void>;
	close(): Promise<void>;
};

const nat = (third: number): NetworkConfig => ({
	kind: "nat",
	gateway: `10.213.${third}.1`,
	prefixLength: 24,
	dhcpStart: `10.213.${third}.10`,
	dhcpEnd: `10.213.${third}.250`,
});
const id = (number: number): string => `0190bbbb-0000-7000-8000-${String(number).padStart(12, "0")}`;

export function networkConformance(name: string, options: { open(): Promise<NetworkHarness>; limitMs: number }): void {
	describe(`network conformance: ${name}`, () => {
		let harness: NetworkHarness;
		let driver: NetworkDriver;
		const check = (title: string, body: () => Promise<void>) => test(title, body, options.limitMs);

		beforeAll(async () => {
			harness = await options.open();
			driver = harness.driver;
		}, options.limitMs);
		afterAll(async () => {
			await harness?.close();
		}, options.limitMs);

		check("makes a NAT network, as often as one likes, and removes it", async () => {
			const network = { id: id(1), name: "nat", config: nat(1) };
			const { bridge } = await driver.ensure(network);
			expect(bridge).toMatch(/^[a-z0-9-]{1,15}$/);
			expect(await driver.ensure(network)).toEqual({ bridge });
			expect(await driver.ensure({ ...network, name: "renamed" })).toEqual({ bridge });
			expect(await driver.hostBridges()).toContain(bridge);
			expect(await driver.leases(network)).toEqual([]);
			await driver.remove(network);
			await driver.remove(network);
			expect(await driver.hostBridges()).not.toContain(bridge);
			expect(await driver.leases(network)).toEqual([]);
		});

		check("does not pull a network away under what is plugged into it", async () => {
			const network = { id: id(9), name: "used", config: nat(9) };
			const { bridge } = await driver.ensure(network);
			await harness.plug(bridge);
			await expect(driver.remove(network)).rejects.toMatchObject({ code: "in-use" });
			expect(await driver.hostBridges()).toContain(bridge);
			expect(await driver.ensure(network)).toEqual({ bridge });
			await harness.unplug(bridge);
			await driver.remove(network);
			expect(await driver.hostBridges()).not.toContain(bridge);
		});

		check("has two networks beside each other", async () => {
			const [first, second] = [2, 3].map((number) => ({ id: id(number), name: "n", config: nat(number) }));
			if (!first || !second) throw new Error("two networks were made");
			const bridges = [(await driver.ensure(first)).bridge, (await driver.ensure(second)).bridge];
			expect(new Set(bridges).size).toBe(2);
			await driver.remove(first);
			expect(await driver.hostBridges()).not.toContain(bridges[0] ?? "");
			expect(await driver.hostBridges()).toContain(bridges[1] ?? "");
			await driver.remove(second);
		});

		check("removes networks that nobody knows any more, unless something is plugged into them", async () => {
			const networks = [10, 11, 12].map((number) => ({ id: id(number), name: "n", config: nat(number) }));
			const bridges: string[] = [];
			for (const network of networks) bridges.push((await driver.ensure(network)).bridge);
			const [kept = "", used = "", forgotten = ""] = bridges;
			await harness.plug(used);
			const removeAllBut = (known: string) => driver.removeOthers((one) => one === known);
			await removeAllBut(id(10));
			const left = await driver.hostBridges();
			expect([kept, used, forgotten, harness.bridge].map((bridge) => left.includes(bridge))).toEqual([
				...[true, true, false, true],
			]);
			await harness.unplug(used);
			await removeAllBut(id(10));
			expect(await driver.hostBridges()).not.toContain(used);
			for (const network of networks) await driver.remove(network);
		});

		check("uses one of ours that has the same addresses under another id, as long as that is there", async () => {
			const former = { id: id(13), name: "nat", config: nat(13) };
			const network = { ...former, id: id(14) };
			const { bridge } = await driver.ensure(former);
			await harness.plug(bridge);
			expect(await driver.ensure(network)).toEqual({ bridge });
			await driver.removeOthers((one) => one === network.id);
			expect(await driver.ensure(network)).toEqual({ bridge });
			expect(await driver.leases(network)).toEqual([]);
			await expect(driver.remove(network)).rejects.toMatchObject({ code: "in-use" });
			await harness.unplug(bridge);
			await driver.remove(network);
			expect(await driver.hostBridges()).not.toContain(bridge);
			await driver.ensure(former);
			await driver.removeOthers((one) => one === network.id);
			const own = await driver.ensure(network);
			expect(own).not.toEqual({ bridge });
			expect(await driver.hostBridges()).not.toContain(bridge);
			expect(await driver.hostBridges()).toContain(own.bridge);
			await driver.remove(network);
		});

		check("uses it also when nothing is plugged into it: who wants it away says so before", async () => {
			const former = { id: id(15), name: "nat", config: nat(15) };
			const [network, beside] = [
				{ ...former, id: id(16) },
				{ id: id(17), name: "beside", config: nat(17) },
			];
			const { bridge } = await driver.ensure(former);
			expect(await driver.ensure(network)).toEqual({ bridge });
			// Only for the same addresses, and not what is to stay since somebody is on the way into it.
			const other = await driver.ensure(beside);
			expect(other).not.toEqual({ bridge });
			await driver.removeOthers(() => true);
			expect(await driver.ensure(network)).toEqual({ bridge });
			await driver.removeOthers((one) => one === network.id || one === beside.id);
			expect(await driver.hostBridges()).not.toContain(bridge);
			const own = await driver.ensure(network);
			expect(new Set([bridge, other.bridge, own.bridge]).size).toBe(3);
			expect(await driver.ensure(beside)).toEqual(other);
			for (const one of [network, beside]) await driver.remove(one);
		});

		check("refuses a network whose addresses are taken", async () => {
			const network = { id: id(4), name: "first", config: nat(4) };
			await driver.ensure(network);
			const wide = { ...nat(4), prefixLength: 22, dhcpStart: "10.213.6.10", dhcpEnd: "10.213.6.20" };
			const clash = driver.ensure({ id: id(5), name: "second", config: wide as NetworkConfig });
			await expect(clash).rejects.toMatchObject({ code: "network", message: expect.stringContaining("overlaps") });
			await driver.remove(network);
		});

		check("refuses addresses that do not fit together", async () => {
			const bad = { ...nat(6), dhcpStart: "10.214.0.10" } as NetworkConfig;
			await expect(driver.ensure({ id: id(6), name: "bad", config: bad })).rejects.toMatchObject({ code: "invalid" });
		});

		check("takes a bridge of the host as it is, and leaves it there", async () => {
			const network = { id: id(7), name: "bridge", config: { kind: "bridge", bridge: harness.bridge } as const };
			expect(await driver.hostBridges()).toContain(harness.bridge);
			expect(await driver.ensure(network)).toEqual({ bridge: harness.bridge });
			expect(await driver.leases(network)).toEqual([]);
			await driver.remove(network);
			expect(await driver.hostBridges()).toContain(harness.bridge);
			const missing = { id: id(8), name: "none", config: { kind: "bridge", bridge: "br-none" } as const };
			await expect(driver.ensure(missing)).rejects.toMatchObject({ code: "network" });
			await driver.remove(missing);
		});
	});
}
