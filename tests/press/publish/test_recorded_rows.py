from press.publish.recorded_rows import beside_authors, house, on_gpu, readings, rows, shards, speeds, updates

RUN = {"choose": "critters/val", "split": "critters/test", "images": 40, "labels_given": False}


def rows_of(data):
    return rows({"name": "sample", "data": data})


def runs(*values: float):
    return [RUN | {"iou": value, "scales": [0.5, 1.0], "flip": True} for value in values]


def test_a_row_says_how_it_was_measured():
    (row,) = rows_of({"rows": {"cam": runs(0.2, 0.4)}})
    assert (row["method"], row["data / split"], row["images"]) == ("CAM", "critters/test", "40")
    assert (row["threshold"], row["labels at test time"], row["CRF"]) == ("best on critters/val", "no", "no")
    assert (row["multi-scale"], row["runs"], row["IoU"], row["mIoU"]) == ("2 scales + flip", 2, "0.300 ± 0.141", "–")


def test_what_a_row_does_not_say_is_not_guessed():
    bare = {name: value for name, value in RUN.items() if name != "labels_given"}
    (row,) = rows_of({"rows": {"CAM": [bare | {"iou": 0.5}]}})
    assert (row["labels at test time"], row["multi-scale"]) == ("not recorded", "not recorded")
    (one,) = rows_of({"rows": {"CAM": [RUN | {"scales": [1.0], "flip": False, "crf": True}]}})
    assert (one["multi-scale"], one["CRF"]) == ("no", "yes")


def test_a_dial_is_named_with_its_position_in_both_forms():
    curves = [runs(0.1), runs(0.2)]
    first = rows_of({"body_evidence": {"settings": [0.0, 1.0], "cam": curves}})
    second = rows_of({"dial": "body_evidence", "positions": [0.0, 1.0], "rows": {"cam": curves}})
    expected = [("CAM · body evidence 0.0", "0.100"), ("CAM · body evidence 1.0", "0.200")]
    assert [(row["method"], row["IoU"]) for row in first] == expected
    assert [(row["method"], row["IoU"]) for row in second] == expected


def test_measurements_of_another_kind_have_no_rows():
    assert rows_of({"speed": {"ours": 1.0, "theirs": [2.0, 3.0]}, "positions": [1, 2], "empty": []}) == []


def test_a_large_ratio_of_speeds_has_no_exponent():
    speed = {"ours": {"milliseconds_an_image": 1.615}, "other": {"times_ours": 227.3}}
    document = {"data": {"projection": {"large": {"speed": speed}}}}
    assert speeds(document) == [{"contest": "large", "milliseconds an image": "1.6", "other": "230 ×"}]


def test_rows_of_several_methods_in_one_list_are_not_averaged():
    mixed = [row | {"map": name} for row, name in zip(runs(0.1, 0.4, 0.3), ("TS-CAM", "SAT", "TS-CAM"), strict=True)]
    assert [(row["method"], row["IoU"], row["runs"]) for row in rows_of({"rows": mixed})] == [
        ("TS-CAM", "0.200 ± 0.141", 2),
        ("SAT", "0.400", 1),
    ]


def test_rows_of_shards_are_means_beside_one_process():
    data = {
        "rows": [
            {"images": 4000, "processes": 1, "images_a_second": 100.0, "mib": 500.0},
            {"images": 4000, "processes": 1, "images_a_second": 120.0, "mib": 510.4},
            {"images": 4000, "processes": 2, "images_a_second": 198.0, "mib": 505.0},
        ]
    }
    one, two = shards({"data": data})
    assert one == {
        "images": "4,000",
        "processes": "1",
        "images a second": "110",
        "share of linear": "100%",
        "MiB": "510",
    }
    assert (two["images a second"], two["share of linear"]) == ("198", "90%")
    row = {"images": 10**6, "processes": 1, "shards_written_once": 250, "images_a_second": 1234.5, "mib": 900.2}
    (million,) = shards({"data": {"rows": [row]}})
    assert list(million.items()) == [
        ("images", "1,000,000"),
        ("processes", "1"),
        ("images a second", "1234"),
        ("shards, each written once", "250"),
        ("MiB", "900"),
    ]


def test_rows_of_a_gpu():
    row = {"method": "bas", "precision": "bf16", "apart": 0.0123, "images_a_second": 812.4, "mib": 5000.2}
    (shown,) = on_gpu({"data": {"rows": [row | {"loop_images_a_second": 99.9, "share_of_card": 0.256}]}})
    assert list(shown.values()) == ["BAS", "bf16", "1.2e-02", "812", "100", "5000", "26%"]


def test_rows_of_updates_have_time_beside_operations():
    row = {"passes": 1.25, "operations": 2.0, "time": 3.0, "memory": 1.5, "milliseconds_an_image": 7.126}
    row["shares"] = {"products": 0.1, "ReLU": 0.25, "norms": 0.15, "other": 0.5}
    (case,) = updates({"data": {"updates": {"small networks": {"SEAM": row}}}}).items()
    assert case[0] == "small networks"
    assert list(case[1][0].values()) == [
        "SEAM", "1.25", "2.00", "3.00", "1.50", "10%", "elementwise 50%, ReLU 25%", "1.50", "7.13"
    ]  # fmt: skip


def test_rows_beside_the_authors_have_time_and_operations():
    ours = {"times_ours": 1.0, "least": 1.0, "most": 1.0, "milliseconds_an_image": 14512.3}
    theirs = {"times_ours": 1.134, "least": 1.1, "most": 1.2, "milliseconds_an_image": 382.0}
    row = {"speed": {"ours": ours, "the authors' code": theirs}, "operations": 1.0, "batch": 4}
    (shown,) = beside_authors({"data": {"authors": {"SEAM, 224 px": row}}})
    assert list(shown.values()) == ["SEAM, 224 px", "4", "1.13 ×", "1.10 – 1.20", "1.00 ×", "14500"]


def test_rows_of_reading():
    row = {"share": 0.0349, "reading_ms_an_image": 0.12, "first_reading_ms_an_image": 9.4, "update_ms_an_image": 3.31}
    (shown,) = readings({"data": {"reading": {"SSC, critters": row}}})
    assert list(shown.values()) == ["SSC, critters", "3.5%", "0.12", "9.4", "3.3"]


def test_rows_of_the_house_are_held_to_their_aims():
    made = house({"data": {"seconds": {"environment": 70.4, "prose": 60.0, "build": 20.1}}})
    assert [list(row.values())[1:] for row in made] == [["–", "70.4", "–"], ["60", "60", "yes"], ["20", "20.1", "no"]]
