/** libvirt starts nothing of ours by itself, whatever ends the daemon or is done with virsh. */
import { expect, test } from "bun:test";
import { systemClock } from "../../lib/clock.ts";
import { AppError } from "../../lib/errors.ts";
import { silentLogger } from "../../lib/log.ts";
import { testLimitMs, useLibvirtLab } from "../../testing/lab/libvirt-session.ts";
import { createLibvirtDriver } from "./libvirt-driver.ts";

const session = useLibvirtLab("autostart");
const inLibvirt = async (): Promise<boolean> => session.lab.client.domainGetAutostart({ uuid: session.domain.id });
const inListing = async (): Promise<boolean | undefined> =>
	(await session.lab.driver.listDomains()).find((domain) => domain.id === session.domain.id)?.autostart;

test(
	"the flag of a domain of ours is a difference, and goes with each definition, running or not",
	async () => {
		const { driver } = session.lab;
		const domain = session.domain;
		await driver.define(domain);
		for (const running of [false, true]) {
			if (running) await driver.start(domain.id, { paused: true });
			expect(await driver.compare(domain)).toEqual([]);
			await session.virsh("autostart", domain.id);
			expect([await inListing(), (await driver.getDomain(domain.id))?.autostart]).toEqual([true, true]);
			expect(await driver.compare(domain)).toEqual([
				{ field: "libvirt.autostart", wanted: "off", found: "on", repair: "automatic" },
			]);
			await driver.define(domain);
			expect(await inLibvirt()).toBe(false);
			expect([await inListing(), (await driver.getDomain(domain.id))?.autostart]).toEqual([false, false]);
			await session.virsh("autostart", domain.id);
			if (running) await driver.applyLive({ ...domain, generation: 2 });
			else await driver.define({ ...domain, generation: 2 });
			expect(await inLibvirt()).toBe(false);
			await driver.define(domain);
		}
	},
	testLimitMs,
);

test(
	"a process that ends between the definition and the flag leaves what the next one finds",
	async () => {
		const { client, driver } = session.lab;
		const domain = session.domain;
		await driver.define(domain);
		await session.virsh("autostart", domain.id);
		const dying = createLibvirtDriver({
			client: new Proxy(client, {
				get(target, key) {
					const value: unknown = Reflect.get(target, key, target);
					if (key === "domainSetAutostart") return () => Promise.reject(new AppError("unavailable", "killed"));
					return typeof value === "function" ? value.bind(target) : value;
				},
			}),
			clock: systemClock,
			logger: silentLogger,
			folderOf: () => domain.folder,
		});
		await expect(dying.define({ ...domain, generation: 2 })).rejects.toMatchObject({ message: "killed" });
		await dying.close();
		expect(await driver.getDomain(domain.id)).toMatchObject({ definedGeneration: 2, autostart: true });
		expect((await driver.compare(domain)).map(({ field }) => field)).toEqual(["libvirt.autostart"]);
		await driver.define({ ...domain, generation: 2 });
		expect(await inLibvirt()).toBe(false);
	},
	testLimitMs,
);
