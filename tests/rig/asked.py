#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Where a kernel asks whether a page is pinned, and how often the answer was yes:  asked.py RESULTS

Prints a line for each place that tests/lib/asked.c has found, writes coverage.json, exits 1 if a place has never seen a
pinned page and is not in UNREACHABLE.
"""
import json
import os
import sys

# Places that nothing here can reach with a pinned page, and why. One that is reached all the same does no harm.
UNREACHABLE = {
    "folio_add_pin": "called for pages of fs/direct-io.c alone, which none of these filesystems uses any more",
    "write_protect_page": "the references are compared first; only a pin that gup_fast is about to take gets this far",
    "migrate_vma_collect_pmd": "wants a driver of device memory that migrates (migrate_vma_setup()); there is none here",
}
# A second look at the same folio, with the page table entry cleared: for a pin that gup_fast takes in between.
SECOND_LOOK = {"move_pages", "move_pages_huge_pmd"}


def read(path):
    """The places, and what each case has added to them"""
    places = []
    with open(path, encoding="utf-8", errors="replace") as stream:
        for line in stream:
            word = line.split()
            if word[:3] == ["#", "asked", "place"]:
                places.append({"place": " ".join(word[6:]), "counts": word[4], "error": word[5], "pages": 0, "folios": 0,
                               "cases": []})
            elif word[:2] == ["#", "asked"]:
                place = places[int(word[2])]
                place["pages"] += int(word[3])
                place["folios"] += int(word[4])
                place["cases"].append(word[5])
    return places


def excuse(place, places):
    """Why it may be that this place has seen no pinned page, or None"""
    function = place["place"].partition("+")[0]
    if function in SECOND_LOOK and any(other["cases"] for other in places if other["place"].startswith(function + "+")):
        return "a second look at the same folio, for a pin that gup_fast takes in between"
    return UNREACHABLE.get(function)


def main(results):
    places = read(os.path.join(results, "stream.log"))
    if not places:
        sys.exit("asked.py: no place was found in this kernel: asked.c knows how Linux 6.6 to 6.12 ask")
    for place in places:
        place["excuse"] = None if place["cases"] else excuse(place, places)
    width = max(len(place["place"]) for place in places)
    print(f"\n{'asks whether a page is pinned':{width}} {'pages':>9} {'folios':>9} {'cases':>6}  first")
    for place in places:
        first = place["cases"][0] if place["cases"] else f"never: {place['excuse'] or 'NO CASE'}"
        print(f"{place['place']:{width}} {place['pages']:9} {place['folios']:9} {len(place['cases']):6}  {first}")
    with open(os.path.join(results, "coverage.json"), "w", encoding="utf-8") as file:
        json.dump(places, file, indent=1)
    reached = sum(bool(place["cases"]) for place in places)
    missed = sum(not place["cases"] and not place["excuse"] for place in places)
    print(f"{len(places)} places, {reached} have seen a pinned page, {len(places) - reached - missed} cannot here, "
          f"{missed} missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
