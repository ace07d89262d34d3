// On a narrow screen a row of tabs is moved to where its current one shows.
document.querySelector(".sub-tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
