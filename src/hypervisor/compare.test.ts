import { expect, test } from "bun:test";
import { compareFacts } from "./compare.ts";
import { wantedFacts } from "./facts.ts";
import { smallDomain, withDisk } from "./test-domain.ts";

const withOrder = (bootOrder: string[]) => {
	const two = withDisk(withDisk(smallDomain(1, "/vm"), "system", "/system"), "data", "/data");
	return wantedFacts({ ...two, spec: { ...two.spec, bootOrder } });
};
const fields = (wanted: string[], found: string[]): string[] =>
	compareFacts(withOrder(wanted), withOrder(found)).map((finding) => finding.field);

test("a disk that was plugged in and boots last is no difference; any other order is one", () => {
	expect(fields(["system", "data"], ["system"])).toEqual([]);
	expect(fields(["system", "data"], ["system", "data"])).toEqual([]);
	expect(fields(["data", "system"], ["system"])).toEqual(["bootOrder"]);
	expect(fields(["data", "system"], ["system", "data"])).toEqual(["bootOrder"]);
	expect(fields(["system"], ["system", "data"])).toEqual(["bootOrder"]);
});
