import { expect, test } from "bun:test";
import { volumeLook } from "../../components/states.ts";
import { volumeStateOf } from "./volume-state.ts";

const volume = { id: "v1", phase: "pending", vmId: "m1" } as const;
const about = (...ids: string[]) => ({ targets: ids.map((id) => ({ kind: "vm" as const, id, name: null })) });

test("pending without a task that is about it or its VM is not made yet, and does not move", () => {
	expect(volumeStateOf(volume, [])).toBe("unmade");
	expect(volumeStateOf(volume, [about("m2"), about("v2")])).toBe("unmade");
	expect(volumeLook("unmade")).toEqual({ tone: "grey", word: "Not made yet", moving: false });
});

test("with one it waits; so it does while the tasks are not known, and without a VM", () => {
	expect(volumeStateOf(volume, [about("m2"), about("m1")])).toBe("pending");
	expect(volumeStateOf(volume, [about("v1")])).toBe("pending");
	expect(volumeStateOf(volume, null)).toBe("pending");
	expect(volumeStateOf({ ...volume, vmId: null }, [])).toBe("pending");
	expect(volumeLook("pending").moving).toBe(true);
});

test("the other phases are what they are", () =>
	expect(volumeStateOf({ ...volume, phase: "creating" }, [])).toBe("creating"));
