/** How long the steps of a test took, for people: nothing is asserted about it. */
export function stopwatch(): { timed<T>(name: string, work: () => Promise<T>): Promise<T>; took(): string } {
	const steps: string[] = [];
	return {
		async timed(name, work) {
			const begun = performance.now();
			const result = await work();
			steps.push(`${name} ${((performance.now() - begun) / 1000).toFixed(1)} s`);
			return result;
		},
		took: () => steps.join(", "),
	};
}
