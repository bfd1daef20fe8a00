/** A thin pool that the kernel has given up is told, and started again when nobody uses it, not before. */
import { expect, test } from "bun:test";
import { isAppError } from "../../lib/errors.ts";
import { requireThinPoolWorks, reviveThinPool } from "./thin-health.ts";

const report = (health: string | null) =>
	JSON.stringify({ report: [{ lv: health === null ? [] : [{ lv_health_status: health }] }] });
const of = (health: string | null) => ({
	...{ group: "lqx-a", call: { devices: [] } },
	lvm: { report: async () => report(health) },
});
const codeOf = (work: Promise<unknown>) => work.then(String, (error) => (isAppError(error) ? error.code : error));

test("it works, is full, or is not there: nothing is said, and nothing done", async () => {
	for (const health of ["", "out_of_data", null]) {
		requireThinPoolWorks(report(health));
		const never = {
			isUsed: () => Promise.reject(new Error("asked")),
			restart: () => Promise.reject(new Error("done")),
		};
		expect(await reviveThinPool(of(health), never)).toBe(false);
	}
});

test("it has failed: that is told, and it is started again once nobody uses it", async () => {
	for (const health of ["failed", "metadata_read_only"]) {
		let [isUsed, restarts] = [true, 0];
		const ways = {
			isUsed: async () => isUsed,
			restart: async () => {
				restarts += 1;
			},
		};
		expect(() => requireThinPoolWorks(report(health))).toThrow("stopped working");
		expect([await codeOf(reviveThinPool(of(health), ways)), restarts]).toEqual(["storage", 0]);
		isUsed = false;
		expect([await codeOf(reviveThinPool(of(health), ways)), restarts]).toEqual(["true", 1]);
	}
});
