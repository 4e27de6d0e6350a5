import unittest

from harbor.tides import Tide


class TideTest(unittest.TestCase):
    def setUp(self):
        self.tide = Tide(low_m=1.0, high_m=4.6, minutes=360)

    def test_low_water(self):
        self.assertAlmostEqual(1.0, self.tide.height_after(0))

    def test_half_tide_is_half_way(self):
        self.assertAlmostEqual(2.8, self.tide.height_after(180))

    def test_high_water(self):
        self.assertAlmostEqual(4.6, self.tide.height_after(360))

    def test_a_time_outside_is_refused(self):
        with self.assertRaises(ValueError):
            self.tide.height_after(361)
