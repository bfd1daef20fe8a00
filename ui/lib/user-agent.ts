/** "Chromium 128 on Linux" from a User-Agent header, as far as it can be told; null for programs. */
const browsers: readonly [name: string, pattern: RegExp][] = [
	["Edge", /Edg\/(\d+)/],
	["Firefox", /Firefox\/(\d+)/],
	["Chrome", /Chrome\/(\d+)/],
	["Safari", /Version\/(\d+).*Safari/],
];
const systems: readonly [name: string, pattern: RegExp][] = [
	["Windows", /Windows/],
	["Android", /Android/],
	["iOS", /iPhone|iPad/],
	["macOS", /Mac OS X/],
	["Linux", /Linux/],
];

export function browserName(userAgent: string | null): string | null {
	if (userAgent === null) return null;
	for (const [name, pattern] of browsers) {
		const version = pattern.exec(userAgent)?.[1];
		if (version === undefined) continue;
		const system = systems.find(([, known]) => known.test(userAgent))?.[0];
		return system ? `${name} ${version}, ${system}` : `${name} ${version}`;
	}
	return null;
}
