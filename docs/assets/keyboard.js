// Let the keyboard reach code and tables that scroll, in every browser.
const reach = () => {
  for (const part of document.querySelectorAll(".md-typeset pre > code, .md-typeset__scrollwrap")) {
    if (part.scrollWidth > part.clientWidth) part.tabIndex = 0;
    else part.removeAttribute("tabindex");
  }
};

addEventListener("load", reach);
addEventListener("resize", reach);
