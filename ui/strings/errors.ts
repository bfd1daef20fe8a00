/** What the UI itself says when a call fails. Messages of the API are shown as they come. */
export const errors = {
	timeout: "The node did not answer in time. Whether the request was carried out is not known.",
	offline: "The node cannot be reached. Check the network, then try again.",
	away: "The node is not ready to answer: it may be starting, stopping or being updated. Try again in a moment.",
	status: (status: number) =>
		`What answered is not the node's API, perhaps a proxy on the way to it (HTTP status ${status}). Whether the request was carried out is not known.`,
	typedIsKept: (obstacle: string) => `${obstacle} What you entered is kept.`,
	chunk:
		"A part of this page could not be loaded, although the node answers. It may have been updated: reload the page.",
	chunkOffline: "The node cannot be reached, so this page could not be loaded. It opens as soon as the node is back.",
	reload: "Reload the page",
	retry: "Try again",
	copy: "Copy details",
	copied: "Copied",
	loadFailed: "This could not be loaded",
	notifications: "Notifications",
	crashed: "This page failed",
	crashedText: "The rest of the console still works. Copying the details helps whoever looks into it.",
} as const;
